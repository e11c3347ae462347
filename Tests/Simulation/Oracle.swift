import Catalog
import Replay
import StateMachines

/// What should have been impossible.
package struct Violation: Error, CustomStringConvertible, Sendable {
  package let description: String

  init(_ description: String) { self.description = description }
}

/// Knows what really happened, since it sees all, and holds everybody to it.
///
/// It folds the leader's entries itself, from the first on, each once: a fresh replay.
final class Oracle {
  /// The state after each entry, the first being the empty catalog's.
  private var states: [CatalogState]
  private var hashes: [EntryHash]
  private var positionOfVersion: [CatalogVersion: LogPosition] = [:]
  private var positionOfCommand: [CommandID: LogPosition] = [:]
  /// The commands of the entries, from the first entry on.
  private var commands: [CommandID] = []
  /// When the leader showed each version, ascending.
  private var shown: [(time: Duration, version: CatalogVersion)] = [(.zero, .zero)]
  /// Commands that somebody was told had made an entry.
  private var acknowledged: [CommandID: LogPosition] = [:]

  init(catalog: CatalogID) {
    let empty = CatalogState(catalog: catalog)
    states = [empty]
    hashes = [empty.lastHash]
    positionOfVersion[.zero] = .zero
  }

  var newest: CatalogState { states[states.count - 1] }
  var acknowledgedCount: Int { acknowledged.count }

  func state(at position: LogPosition) -> CatalogState? {
    position.rawValue < states.count ? states[Int(position.rawValue)] : nil
  }

  // MARK: The leader

  /// The leader shows that these entries are durable.
  func leaderShowed(_ entries: [EncodedEntry], at now: Duration) throws(Violation) {
    for encoded in entries {
      guard encoded.entry.position > newest.appliedThrough else {
        guard hashes[Int(encoded.entry.position.rawValue)] == encoded.hash else {
          throw Violation("entry \(encoded.entry.position) was written a second time, differently")
        }
        continue
      }
      var next = newest
      do {
        try next.evolve(encoded)
      } catch {
        throw Violation("the leader's entry \(encoded.entry.position) does not follow: \(error)")
      }
      if let first = positionOfCommand[encoded.entry.command] {
        throw Violation(
          "command \(encoded.entry.command) was carried out twice: entries \(first) and "
            + "\(encoded.entry.position)")
      }
      try checkTiling(next.routes, "the leader")
      states.append(next)
      hashes.append(encoded.hash)
      positionOfCommand[encoded.entry.command] = encoded.entry.position
      commands.append(encoded.entry.command)
      positionOfVersion[next.version] = encoded.entry.position
    }
    shown.append((now, newest.version))
  }

  /// The leader came back with this state, made of `log`.
  func leaderRecovered(_ state: CatalogState, _ log: SimulatedLog, at now: Duration)
    throws(Violation)
  {
    guard state.appliedThrough >= newest.appliedThrough else {
      throw Violation(
        "the leader shows entry \(state.appliedThrough) after a restart, and showed "
          + "\(newest.appliedThrough) before it: what was acknowledged is lost")
    }
    do {
      try leaderShowed(log.entries(after: newest.appliedThrough), at: now)
    } catch let error as Violation {
      throw error
    } catch {
      throw Violation("the leader's log cannot be read: \(error)")
    }
    try check(state, "the leader after a restart")
  }

  func acknowledge(_ receipt: Receipt) throws(Violation) {
    guard receipt.outcome != .alreadyDone else { return }
    guard positionOfCommand[receipt.command] == receipt.position else {
      throw Violation(
        "command \(receipt.command) was acknowledged at entry \(receipt.position), which is not "
          + "durable")
    }
    acknowledged[receipt.command] = receipt.position
  }

  // MARK: Everybody

  /// A node shows a state.
  func check(_ state: CatalogState, _ who: String) throws(Violation) {
    guard let truth = self.state(at: state.appliedThrough) else {
      throw Violation("\(who) shows entry \(state.appliedThrough), which the leader never showed")
    }
    guard state.lastHash == truth.lastHash else {
      throw Violation("\(who) shows another entry \(state.appliedThrough) than the leader")
    }
    try check(state.routes, who)
  }

  /// A node shows a version.
  func check(_ table: RouteTable, _ who: String) throws(Violation) {
    guard let position = positionOfVersion[table.version], let truth = state(at: position) else {
      throw Violation("\(who) shows version \(table.version), which the leader never showed")
    }
    guard table.routes(overlapping: .all) == truth.routes.routes(overlapping: .all),
      table.digest == truth.routes.digest
    else {
      throw Violation("\(who) shows other routes at version \(table.version) than a fresh replay")
    }
    try checkTiling(table, who)
  }

  /// A node opened its log, and found nothing wrong with it.
  func check(_ log: SimulatedLog, _ who: String) throws(Violation) {
    for (position, hash) in log.hashes {
      guard position.rawValue < hashes.count, hashes[Int(position.rawValue)] == hash else {
        throw Violation("\(who) took a log for whole whose entry \(position) is not the leader's")
      }
    }
  }

  /// A node would know every command that is sent again, should it be the one to decide: its log has
  /// the ids of all entries up to its last one, whatever it was made of.
  func checkCommands(_ log: SimulatedLog, _ who: String) throws(Violation) {
    var known: [CommandID] = []
    var isInOrder = true
    do {
      try log.scanCommands { position, command in
        isInOrder = isInOrder && position.rawValue == UInt64(known.count) + 1
        known.append(command)
        return true
      }
    } catch {
      throw Violation("\(who) cannot tell which commands it knows: \(error)")
    }
    guard isInOrder, known.count <= commands.count, known == Array(commands[..<known.count]),
      (try? log.lastPosition().rawValue) == UInt64(known.count)
    else { throw Violation("\(who) does not know every command that was carried out") }
  }

  /// Routes from elsewhere make up the version, whole.
  func check(_ routes: [Route], at version: CatalogVersion, _ who: String) throws(Violation) {
    guard let position = positionOfVersion[version],
      let truth = state(at: position)?.routes.routes(overlapping: .all)
    else { throw Violation("\(who) has version \(version), which the leader never showed") }
    guard routes == truth else {
      throw Violation("\(who) has other routes at version \(version) than a fresh replay")
    }
  }

  private func checkTiling(_ table: RouteTable, _ who: String) throws(Violation) {
    let routes = table.routes(overlapping: .all)
    guard let first = routes.first, let last = routes.last else { return }
    guard first.span.lower == .least, last.span.upper == nil,
      zip(routes, routes.dropFirst()).allSatisfy({ $0.span.upper == $1.span.lower })
    else { throw Violation("\(who): the routes of version \(table.version) do not tile the keys") }
  }

  /// A node answers a read that asked for at most so much staleness, at `now`. `drift` is how far its
  /// clock and the world's may differ.
  func checkAnswer(
    _ version: CatalogVersion, _ key: Key, _ owner: RouteOwner, maximumStaleness: Duration?,
    at now: Duration, drift: Double, _ who: String
  ) throws(Violation) {
    guard let position = positionOfVersion[version], let truth = state(at: position),
      let route = truth.routes.route(containing: key)
    else { throw Violation("\(who) answers from version \(version), which never was") }
    guard route.id == owner.route, route.group == owner.group, route.state == owner.state else {
      throw Violation("\(who) names another owner of a key than version \(version) has")
    }
    guard let maximumStaleness else { return }
    let since = now - maximumStaleness * (1 + 2 * drift)
    let needed = shown.last { $0.time <= since }?.version ?? .zero
    guard version >= needed else {
      throw Violation(
        "\(who) answers from version \(version), though \(maximumStaleness) before the leader was at "
          + "\(needed)")
    }
  }
}

extension SimulatedLog {
  fileprivate func entries(after position: LogPosition) throws -> [EncodedEntry] {
    var entries: [EncodedEntry] = []
    for number in position.next.rawValue..<(try lastPosition().rawValue + 1) {
      if let entry = try entry(at: LogPosition(number)) { entries.append(entry) }
    }
    return entries
  }
}

import Catalog
import Replay
import StateMachines

/// Knows what really happened in the regions' streams, since it sees all, and holds everybody to it.
final class RegionOracle {
  private struct Stream {
    /// A fresh replay of what is durable.
    var state: RegionState
    var hashes: [EntryHash]
    var positions: [CommandID: LogPosition] = [:]
    /// For each group the commits that it took part in, by position; each with the latest so far.
    var commits: [GroupID: [(position: LogPosition, latest: HybridTimestamp)]] = [:]
  }

  private var streams: [Stream]
  /// The highest ceiling and term that a group ever had, in whatever region.
  private var marks: [GroupID: (ceiling: HybridTimestamp, term: Term)] = [:]
  private var issued: [GroupID: (last: HybridTimestamp, term: Term, time: Duration)] = [:]
  /// When somebody last began to lead a group.
  private var led: [GroupID: Duration] = [:]
  /// The first outcome that anybody saw.
  private var outcomes: [TransactionID: TransactionOutcome] = [:]
  private(set) var issuedCount = 0
  private(set) var acknowledgedCount = 0

  init(catalog: CatalogID, regions: [Region]) {
    streams = regions.map { region in
      let empty = RegionState(catalog: catalog, region: region)
      return Stream(state: empty, hashes: [empty.lastHash])
    }
  }

  /// A stream's state after the last entry that is durable.
  func state(of region: Int) -> RegionState { streams[region].state }

  /// When a group last issued a timestamp.
  func lastIssued(_ group: GroupID) -> Duration? { issued[group]?.time }

  /// When somebody last began to lead a group.
  func lastLed(_ group: GroupID) -> Duration? { led[group] }

  // MARK: Streams

  /// These entries are durable.
  func appended(
    _ entries: [EncodedEntry], to region: Int, at now: Duration
  ) throws(Violation) {
    for encoded in entries {
      let entry = encoded.entry
      guard entry.position > streams[region].state.appliedThrough else {
        guard streams[region].hashes[Int(entry.position.rawValue)] == encoded.hash else {
          throw Violation("entry \(entry.position) was written a second time, differently")
        }
        continue
      }
      if let first = streams[region].positions[entry.command] {
        throw Violation(
          "command \(entry.command) was carried out twice: entries \(first) and \(entry.position)")
      }
      do {
        try streams[region].state.evolve(encoded)
      } catch {
        throw Violation("entry \(entry.position) does not follow: \(error)")
      }
      streams[region].hashes.append(encoded.hash)
      streams[region].positions[entry.command] = entry.position
      for event in entry.regionEvents { try look(at: event, entry.position, region, now) }
      try checkMarks(region)
    }
  }

  private func look(
    at event: RegionEvent, _ position: LogPosition, _ region: Int, _ now: Duration
  ) throws(Violation) {
    if case .groupsLed(let groups, _) = event {
      for run in groups.runs {
        for number in run.first.rawValue...run.last.rawValue { led[GroupID(number)] = now }
      }
    }
    guard case .transactionDecided(let id, let outcome) = event else { return }
    try decided(id, outcome)
    guard case .committed(let time) = outcome,
      let participants = streams[region].state.transactions[id]?.participants
    else { return }
    for run in participants.runs {
      for number in run.first.rawValue...run.last.rawValue {
        let group = GroupID(number)
        // Of groups that are at home elsewhere nothing is promised.
        guard let clock = streams[region].state.ceilings[group] else { continue }
        if case .departed = clock.standing { continue }
        let before = streams[region].commits[group]?.last?.latest ?? .zero
        streams[region].commits[group, default: []].append((position, max(before, time)))
      }
    }
  }

  /// Ceilings and terms only rise, over leaders, commits and moves.
  private func checkMarks(_ region: Int) throws(Violation) {
    for entry in streams[region].state.ceilings.entries {
      if case .departed = entry.clock.standing { continue }
      for number in entry.groups.first.rawValue...entry.groups.last.rawValue {
        let mark = marks[GroupID(number)] ?? (.zero, .zero)
        guard entry.clock.ceiling >= mark.ceiling, entry.clock.term >= mark.term else {
          throw Violation("the ceiling or term of group \(number) fell")
        }
        marks[GroupID(number)] = (entry.clock.ceiling, entry.clock.term)
      }
    }
  }

  /// A stream came back with this state.
  func recovered(_ state: RegionState, _ region: Int) throws(Violation) {
    let known = streams[region].state
    guard state.appliedThrough >= known.appliedThrough else {
      throw Violation(
        "region \(region) shows entry \(state.appliedThrough) after a restart, and showed "
          + "\(known.appliedThrough) before it: what was acknowledged is lost")
    }
  }

  /// Somebody shows a state of a stream.
  func check(_ state: RegionState, _ region: Int, _ who: String) throws(Violation) {
    let position = Int(state.appliedThrough.rawValue)
    guard position < streams[region].hashes.count,
      streams[region].hashes[position] == state.lastHash
    else { throw Violation("\(who) shows entry \(position) of region \(region), which is none") }
  }

  // MARK: Timestamps

  /// A leader that knew the stream up to a position issued timestamps.
  func issued(
    _ batch: HybridTimestampBatch, of group: GroupID, term: Term, region: Int,
    knowing position: LogPosition, at now: Duration, _ who: String
  ) throws(Violation) {
    issuedCount += 1
    let before = issued[group] ?? (.zero, .zero, .zero)
    guard batch.first > before.last else {
      throw Violation("\(who) issued \(batch.first) of group \(group) after \(before.last)")
    }
    guard term >= before.term else {
      throw Violation(
        "\(who) issued for group \(group) in term \(term), after the leader of term \(before.term)")
    }
    issued[group] = (batch.last, term, now)
    guard batch.last < marks[group]?.ceiling ?? .zero else {
      throw Violation("\(who) issued \(batch.last) of group \(group) at or above its ceiling")
    }
    let commit = streams[region].commits[group]?.last { $0.position <= position }
    if let commit, batch.first <= commit.latest {
      throw Violation(
        "\(who) issued \(batch.first) of group \(group), and knew of the commit at \(commit.latest)"
      )
    }
  }

  // MARK: Answers

  func acknowledged(_ receipt: RegionReceipt, by region: Int) throws(Violation) {
    guard receipt.outcome != .alreadyDone else { return }
    guard streams[region].positions[receipt.command] == receipt.position else {
      throw Violation(
        "command \(receipt.command) was acknowledged at entry \(receipt.position), which is not "
          + "durable")
    }
    acknowledgedCount += 1
  }

  /// Somebody saw the outcome of a transaction.
  func decided(_ id: TransactionID, _ outcome: TransactionOutcome) throws(Violation) {
    if let first = outcomes[id], first != outcome {
      throw Violation("transaction \(id) was \(first), and then \(outcome)")
    }
    outcomes[id] = outcome
  }
}

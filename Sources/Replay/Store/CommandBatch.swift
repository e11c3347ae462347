import Catalog
import StateMachines

/// Commands that share a commit, decided one after the other, each against the state that those
/// before it make.
///
/// Nobody gets an answer before the commit, not even who is refused: the refusal may rest on an
/// entry that never becomes durable.
struct CommandBatch {
  /// The state after all entries. Nobody else may see it before the commit.
  private(set) var state: CatalogState
  private(set) var entries: [EncodedEntry] = []
  private(set) var fingerprints: [CommandID: ChangeFingerprint] = [:]
  private(set) var versions: [CatalogHistory.Version] = []
  private(set) var byteCount = 0
  /// One for each command that was decided.
  private(set) var verdicts: [Verdict] = []
  private var entryOfCommand: [CommandID: Int] = [:]

  enum Verdict {
    /// The command made the entry at this index, now or earlier in this batch.
    case entry(Int, Receipt.Outcome)
    case settled(Result<Receipt, CommandFailure>)
  }

  init(state: CatalogState) { self.state = state }

  /// Decides the next command. `earlier` are the positions at which the command may have its entry
  /// already.
  ///
  /// - Throws: ``StoreError`` when the log cannot be read.
  mutating func decide(
    _ command: Command, earlier: [LogPosition], log: any CatalogLog, wall: () -> UInt64
  ) throws(StoreError) {
    let fingerprint = ChangeFingerprint(of: command.change)
    if let index = entryOfCommand[command.id] {
      let isSame = fingerprints[command.id] == fingerprint
      verdicts.append(
        isSame
          ? .entry(index, .repeated)
          : .settled(
            .failure(
              .commandIDReused(command.id, position: entries[index].entry.position))))
      return
    }
    for position in earlier {
      guard let known = try log.knownCommand(at: position), known.record.command == command.id
      else {
        continue  // Another id with the same hash.
      }
      verdicts.append(.settled(CommandBatch.repeated(command, fingerprint, known)))
      return
    }
    do {
      let time = state.lastTime.following(wallMilliseconds: wall())
      let version = state.version
      switch try state.propose(command, time: time) {
      case .append(let encoded):
        verdicts.append(.entry(entries.count, .appended))
        entryOfCommand[command.id] = entries.count
        fingerprints[command.id] = fingerprint
        entries.append(encoded)
        byteCount += encoded.bytes.count
        if state.version > version {
          versions.append(
            CatalogHistory.Version(table: state.routes, events: encoded.entry.events))
        }
      case .alreadyDone:
        verdicts.append(
          .settled(
            .success(
              Receipt(
                command: command.id, position: state.appliedThrough, version: state.version,
                outcome: .alreadyDone))))
      }
    } catch {
      verdicts.append(.settled(.failure(.refused(error))))
    }
  }

  /// Decides a note, which is one when it comes again under its id and says the same.
  ///
  /// - Throws: ``StoreError`` when the log cannot be read.
  mutating func decide(
    _ note: Note, earlier: [LogPosition], log: any CatalogLog, wall: () -> UInt64
  ) throws(StoreError) {
    for position in earlier {
      guard let known = try log.knownCommand(at: position), known.record.command == note.id
      else { continue }
      // A note's id follows from what it says: that is all there is to go by once its entry is gone.
      let isSame = known.entry.map { $0.entry.events == note.events } ?? true
      verdicts.append(
        .settled(
          isSame
            ? .success(Receipt(repeating: known.record))
            : .failure(.commandIDReused(note.id, position: position))))
      return
    }
    do {
      let encoded = try state.propose(
        note, time: state.lastTime.following(wallMilliseconds: wall()))
      verdicts.append(.entry(entries.count, .appended))
      entries.append(encoded)
      byteCount += encoded.bytes.count
    } catch {
      verdicts.append(.settled(.failure(.refused(error))))
    }
  }

  /// The answer to a command whose id made an entry earlier.
  private static func repeated(
    _ command: Command, _ fingerprint: ChangeFingerprint, _ known: KnownCommand
  ) -> Result<Receipt, CommandFailure> {
    let isSame =
      known.record.fingerprint.map { $0 == fingerprint }
      // An entry from another log says what happened, and not what was asked; and once it is gone
      // there is the id alone.
      ?? known.entry.map { command.change.couldHaveMade($0.entry.events) } ?? true
    return isSame
      ? .success(Receipt(repeating: known.record))
      : .failure(.commandIDReused(command.id, position: known.record.position))
  }

  /// The answers, in the order of the commands: to be given when the entries are durable.
  func results() -> [Result<Receipt, CommandFailure>] {
    verdicts.map { verdict in
      switch verdict {
      case .entry(let index, let outcome):
        .success(Receipt(entries[index].entry, outcome: outcome))
      case .settled(let result): result
      }
    }
  }
}

extension RouteChange {
  /// Whether `events` may be what became of this change, as far as they tell: all of them are asked
  /// for here, and no cut is left out between two that were made.
  ///
  /// What was so already when it was asked left no event, so there may be fewer. So a change that
  /// asks for all that the events say, and for more, passes as well: only the fingerprint, which the
  /// log of whoever decided has, tells the two apart.
  func couldHaveMade(_ events: [Event]) -> Bool {
    if case .arrange(let layout) = self { return layout.couldHaveMade(events) }
    if case .membership(let change) = self { return change.couldHaveMade(events) }
    if case .split(let splits) = self {
      // A part is cut at the first key that is asked for within it.
      let keys = splits.map(\.at).sorted()
      for case .routeSplit(_, let start, let boundary, _) in events {
        let next = keys.count(while: { $0 <= start })
        guard next < keys.count, keys[next] == boundary else { return false }
      }
    }
    let asked: Set<Ask> =
      switch self {
      case .bootstrap(let seeds):
        Set(seeds.map { .seed($0.start, $0.group, Set($0.allowedRegions)) })
      case .split(let splits): Set(splits.map { .boundary($0.at) })
      case .merge(let merges): Set(merges.flatMap { [.merged($0.left), .merged($0.right)] })
      case .move(let routes, let group): Set(routes.map { .group($0, group) })
      case .setState(let routes, let state): Set(routes.map { .state($0, state) })
      case .setAllowedRegions(let routes, let regions):
        Set(routes.map { .regions($0, Set(regions)) })
      case .arrange, .membership: []
      }
    return events.allSatisfy { event in
      switch event {
      case .routesBootstrapped(let seeds):
        seeds.count == asked.count
          && seeds.allSatisfy {
            asked.contains(.seed($0.start, $0.group, Set($0.allowedRegions)))
          }
      case .routeSplit(_, _, let boundary, _): asked.contains(.boundary(boundary))
      case .routesMerged(_, _, _, let absorbed): asked.contains(.merged(absorbed))
      case .routeMoved(let route, _, _, let group): asked.contains(.group(route, group))
      case .routeStateChanged(let route, _, _, let state): asked.contains(.state(route, state))
      case .allowedRegionsChanged(let route, _, let regions):
        asked.contains(.regions(route, Set(regions)))
      // No command asks for one.
      case .catalogCommitted, .logTrimmed, .region, .membership: false
      }
    }
  }

  private enum Ask: Hashable {
    case seed(Key, GroupID, Set<Region>)
    case boundary(Key)
    case merged(RouteID)
    case group(RouteID, GroupID)
    case state(RouteID, RouteState)
    case regions(RouteID, Set<Region>)
  }
}

extension [RouteSeedRequest] {
  /// Whether `events` may have led to a layout: routes begin where it says, end where it says
  /// nothing, and go to groups that it names. O(*m* + *e*).
  fileprivate func couldHaveMade(_ events: [Event]) -> Bool {
    let (starts, groups) = (Set(map(\.start)), Set(map(\.group)))
    return events.allSatisfy { event in
      switch event {
      case .routesBootstrapped(let seeds): seeds.map(\.start) == map(\.start)
      case .routeSplit(_, _, let boundary, _): starts.contains(boundary)
      case .routesMerged(_, _, let boundary, _): !starts.contains(boundary)
      case .routeMoved(_, let start, _, let group):
        starts.contains(start) && groups.contains(group)
      case .routeStateChanged, .allowedRegionsChanged, .catalogCommitted, .logTrimmed, .region,
        .membership:
        false
      }
    }
  }
}

extension [Key] {
  /// How many keys at the beginning are such. O(log *n*).
  ///
  /// - Precondition: The keys for which it is true come first.
  fileprivate func count(while isBefore: (Key) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = low + (high - low) / 2
      if isBefore(self[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

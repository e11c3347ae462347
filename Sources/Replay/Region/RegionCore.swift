import Catalog
import StateMachines

/// How the writer of a region's stream works; the defaults do for a node.
package struct RegionOptions: Sendable {
  package var log = LogOptions()
  /// At least this many entries are kept, and at most twice as many: the state that the log begins
  /// after moves on by so many at a time. About a day of one entry a second.
  package var retainedEntryCount: UInt64 = 100_000
  /// A commit takes at most this many commands.
  package var maximumBatchCount = 4096
  /// A commit takes no further command once its entries have this many bytes.
  package var maximumBatchByteCount = 8 << 20
  /// A command that finds this many waiting is refused.
  package var maximumWaitingCount = 100_000

  package init() {}
}

/// What the writer of a region's stream does, without the thread that does it: decides commands in
/// order against the state that is next, writes them in one transaction, and lets the log begin later
/// as it grows.
///
/// It is driven by calls, and knows no thread, lock or clock. Each call ends with all of its work
/// durable, or none, and says what is to be shown and then answered.
package struct RegionCore: Sendable {
  package let log: any RegionLog
  private let options: RegionOptions
  /// The last durable state.
  package private(set) var state: RegionState
  /// Why nothing is written any more; nil as long as something may be.
  package private(set) var failure: StoreError?
  /// Where the commands within the dedupe window have, or had, their entries.
  private var commands: CommandIndex
  /// Where the log begins.
  private var first: LogPosition
  /// The state that the log is to begin after next, some entries back.
  private var nextBase: RegionState
  private var hasTrimmedRows = true

  /// What became of commands.
  package struct Commit: Sendable {
    /// The entries that were appended, to be shown before anybody has an answer.
    package var publish: [EncodedEntry] = []
    /// The answers to the first of the commands, at least to one, in their order. The others are to
    /// be brought again.
    package var thenAnswer: [Result<RegionReceipt, RegionFailure>] = []
  }

  /// Replays the log: proves every entry that it has, from the base on.
  ///
  /// A log that is damaged past its beginning is taken all the same: ``state`` is then the one before
  /// the damage, ``failure`` says what is wrong, and nothing is written.
  ///
  /// - Throws: ``StoreError`` when there is nothing to start from.
  /// - Complexity: O(*n*) in the number of entries.
  package init(
    _ log: any RegionLog, options: RegionOptions = RegionOptions()
  ) throws(StoreError) {
    self.log = log
    self.options = options
    var state =
      try log.base() ?? RegionState(catalog: log.catalog, region: log.region)
    first = state.appliedThrough.next
    nextBase = state
    var commands = CommandIndex(window: log.dedupeWindow)
    do throws(StoreError) {
      let last = try log.lastPosition()
      let start = state.appliedThrough
      try log.scanCommands { position, command in
        guard position <= start else { return false }
        commands.insert(command, at: position)
        return true
      }
      let kept = options.retainedEntryCount
      while state.appliedThrough < last {
        let entries = try log.entries(
          from: state.appliedThrough.next, maxCount: 4096, maxBytes: 16 << 20)
        guard !entries.isEmpty else {
          throw .gap(expected: state.appliedThrough.next, found: last)
        }
        for encoded in entries {
          do throws(EvolveError) {
            try state.evolve(encoded)
          } catch {
            throw .unproven(encoded.entry.position, error)
          }
          commands.insert(encoded.entry.command, at: encoded.entry.position)
          // However often the store is opened, the log begins later as it grows.
          if last.rawValue - encoded.entry.position.rawValue == kept { nextBase = state }
        }
      }
      if nextBase.appliedThrough < first { nextBase = state }
      if let head = try log.writtenHead(),
        head.position != state.appliedThrough || head.hash != state.lastHash
      {
        throw .damaged(state.appliedThrough, .notTheHead(head.hash))
      }
      log.goOn(after: state)
    } catch {
      failure = error
    }
    self.commands = commands
    self.state = state
  }

  /// Carries out the first of `commands`, as many as fit one commit. `wall` is asked for milliseconds
  /// since 1970, once for each entry.
  ///
  /// - Precondition: There is a command.
  package mutating func commit(
    _ commands: some Collection<RegionCommand>, wall: () -> UInt64
  ) -> Commit {
    let commands = commands.prefix(options.maximumBatchCount)
    if let failure {
      return Commit(thenAnswer: commands.map { _ in .failure(.storage(failure)) })
    }
    var batch = Batch(state: state)
    do throws(StoreError) {
      try log.checkDecides()
      for command in commands {
        guard batch.byteCount < options.maximumBatchByteCount else { break }
        try decide(command, in: &batch, wall: wall)
      }
      try log.append(batch.entries, fingerprints: batch.fingerprints)
    } catch {
      noteFailure(error)
      let count = max(1, batch.verdicts.count)
      return Commit(thenAnswer: (0..<count).map { _ in .failure(.storage(error)) })
    }
    if !batch.entries.isEmpty {
      state = batch.state
      for encoded in batch.entries {
        self.commands.insert(encoded.entry.command, at: encoded.entry.position)
      }
    }
    return Commit(publish: batch.entries, thenAnswer: batch.verdicts)
  }

  /// What became of entries that a mirror was brought.
  package struct Replication: Sendable {
    /// Those that are taken over, to be shown before anybody has an answer.
    package var publish: [EncodedEntry] = []
    /// Why it is not all of them.
    package var thenFail: StoreError?
  }

  /// Takes over entries of the stream, in a log that mirrors it: proves each, and appends them up to
  /// the first that does not follow. Those that are there already are passed over.
  package mutating func replicate(_ entries: [EncodedEntry]) -> Replication {
    if let failure { return Replication(thenFail: failure) }
    var result = Replication()
    var next = state
    for encoded in entries {
      do throws(EvolveError) {
        let before = next.appliedThrough
        try next.evolve(encoded)
        if next.appliedThrough > before { result.publish.append(encoded) }
      } catch {
        result.thenFail = .unproven(encoded.entry.position, error)
        break
      }
    }
    do throws(StoreError) {
      try log.store(result.publish)
    } catch {
      noteFailure(error)
      return Replication(thenFail: error)
    }
    state = next
    for encoded in result.publish {
      commands.insert(encoded.entry.command, at: encoded.entry.position)
    }
    return result
  }

  /// Takes over a state of the stream, and the commands that are known up to there, in the place of all
  /// that the log has: entries no longer lead there.
  ///
  /// - Precondition: The state is of this stream.
  package mutating func install(
    _ state: RegionState, commands known: CommandWindow
  ) throws(StoreError) {
    precondition(state.region == log.region, "a state of the stream \(log.region)")
    if let failure { throw failure }
    do throws(StoreError) {
      try log.install(base: state, commands: known)
    } catch {
      noteFailure(error)
      throw error
    }
    self.state = state
    first = state.appliedThrough.next
    nextBase = state
    hasTrimmedRows = false
    commands = CommandIndex(window: log.dedupeWindow)
    known.forEach { commands.insert($0.command, at: $0.position) }
  }

  /// Lets the log begin later when it has grown enough, a bounded piece of work at a time. What goes
  /// wrong is left for the next time, but for a log that can no longer be written.
  ///
  /// - Returns: Whether there is more to do.
  package mutating func trim() -> Bool {
    guard failure == nil else { return false }
    do throws(StoreError) {
      if state.appliedThrough.rawValue - nextBase.appliedThrough.rawValue
        >= options.retainedEntryCount
      {
        if nextBase.appliedThrough >= first {
          try log.begin(after: nextBase)
          first = nextBase.appliedThrough.next
          hasTrimmedRows = true
        }
        nextBase = state
      }
      guard hasTrimmedRows else { return false }
      hasTrimmedRows = try log.removeTrimmed(limit: 4096) > 0
      return hasTrimmedRows
    } catch {
      noteFailure(error)
      return false
    }
  }

  /// Commands that share a commit.
  private struct Batch {
    var state: RegionState
    var entries: [EncodedEntry] = []
    var fingerprints: [CommandID: ChangeFingerprint] = [:]
    var byteCount = 0
    var verdicts: [Result<RegionReceipt, RegionFailure>] = []
    var indices: [CommandID: Int] = [:]

    init(state: RegionState) { self.state = state }
  }

  private func decide(
    _ command: RegionCommand, in batch: inout Batch, wall: () -> UInt64
  ) throws(StoreError) {
    let fingerprint = ChangeFingerprint(of: command.change)
    func repeated(_ position: LogPosition, _ events: [RegionEvent], _ earlier: ChangeFingerprint?) {
      // Of an entry that was replicated it is not known what was asked for, only what it did.
      batch.verdicts.append(
        earlier == nil || earlier == fingerprint
          ? .success(
            RegionReceipt(
              command: command.id, position: position, outcome: .repeated, events: events))
          : .failure(.commandIDReused(command.id, position: position)))
    }
    if let index = batch.indices[command.id] {
      let entry = batch.entries[index].entry
      return repeated(entry.position, entry.regionEvents, batch.fingerprints[command.id])
    }
    for position in commands.positions(of: command.id, last: state.appliedThrough) {
      guard let known = try log.knownCommand(at: position), known.record.command == command.id
      else { continue }  // Another id with the same hash.
      return repeated(
        position, known.entry?.entry.regionEvents ?? [], known.record.fingerprint)
    }
    do throws(RegionRefusal) {
      let time = batch.state.lastTime.following(wallMilliseconds: wall())
      switch try batch.state.propose(command, time: time) {
      case .append(let encoded):
        batch.indices[command.id] = batch.entries.count
        batch.fingerprints[command.id] = fingerprint
        batch.entries.append(encoded)
        batch.byteCount += encoded.bytes.count
        batch.verdicts.append(.success(RegionReceipt(encoded.entry, outcome: .appended)))
      case .alreadyDone:
        batch.verdicts.append(
          .success(
            RegionReceipt(
              command: command.id, position: batch.state.appliedThrough, outcome: .alreadyDone,
              events: [])))
      }
    } catch {
      batch.verdicts.append(.failure(.refused(error)))
    }
  }

  /// After a write failed: goes on when the log is as it was, and when that is not certain stops. See
  /// the store of the catalog, which does the same for the same reasons.
  private mutating func noteFailure(_ error: StoreError) {
    switch error {
    // The log was not touched; what got into a shared stream comes back from there.
    case .notLeading, .stream, .windowHeldBack: return
    case .diskFull, .logFull, .tooManyReaders, .system(_, code: 1..., _):
      if let head = try? log.writtenHead(), let last = try? log.lastPosition(),
        head.position == state.appliedThrough, head.hash == state.lastHash,
        last == state.appliedThrough
      {
        return log.goOn(after: state)
      }
      // Before the first write there is no note of what was written last.
      if state.appliedThrough == .zero, (try? log.lastPosition()) == .zero { return }
    default: break
    }
    failure = .unusable(reason: error.problem)
  }
}

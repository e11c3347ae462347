import Catalog
import StateMachines

/// How far a replay has come.
package struct ReplayProgress: Hashable, Sendable {
  /// Entries replayed so far, and to be replayed in all.
  package var entryCount: UInt64
  package var entryTotal: UInt64
  /// The bytes of the entries replayed so far.
  package var byteCount: Int
  /// The last entry replayed.
  package var position: LogPosition
}

/// Folds the entries of a log into states, and proves each on the way: its place in the hash chain,
/// its time and version, that its events apply, and the digest of the state after it.
package struct Replayer {
  /// Told now and then how far the work has come, and at its end.
  package var onProgress: ((ReplayProgress) -> Void)?
  /// Asked now and then; true ends the work with ``StoreError/cancelled(after:)``.
  package var isCancelled: (() -> Bool)?
  /// Sees each entry with the state after it.
  package var onEntry: ((CatalogState, LogEntry) -> Void)?

  /// Lets ``replay(through:)`` begin with a checkpoint that agrees with the log. Nil: with the log's
  /// own beginning, so that every entry is proven.
  package var checkpoints: CheckpointStore?
  /// Told of each checkpoint that could not be used.
  package var onWarning: ((StoreError) -> Void)?

  /// How many entries ``rebuild(_:)`` writes in one transaction: each costs a sync of the disk.
  package var rebuildSliceCount = 8192

  /// From so many entries on a second thread helps to fold.
  var helpedEntryCount: UInt64 = 64

  let log: any CatalogLog
  var pipeline = EntryPipeline()

  package init(_ log: any CatalogLog) { self.log = log }

  /// The state after the entry at `end`, or after the last one: from the newest checkpoint before it,
  /// or from the log's beginning.
  ///
  /// - Throws: ``StoreError`` that names the entry that is not as it was written, or that does not
  ///   follow, and what to do about it.
  package func replay(through end: LogPosition? = nil) throws(StoreError) -> CatalogState {
    var state = try start(toward: end)
    try replay(onto: &state, through: end)
    return state
  }

  /// The state that ``replay(through:)`` begins with.
  package func start(toward end: LogPosition? = nil) throws(StoreError) -> CatalogState {
    let start = try log.startingPoint(in: checkpoints, through: end, history: nil)
    if let onWarning { start.warnings.forEach(onWarning) }
    return start.state
  }

  /// Folds the entries after `state` into it, up to the one at `end` or the last. When it throws,
  /// `state` is the one after the last entry that was proven.
  package func replay(
    onto state: inout CatalogState, through end: LogPosition? = nil
  ) throws(StoreError) {
    let end = if let end { end } else { try log.lastPosition() }
    try fold(
      onto: &state, through: end, withHelper: true,
      decode: DecodedEntry.decoder(reading: log.reading)
    ) { _ throws(StoreError) in }
  }

  /// Folds entries into `state`; `body` gets each slice when all of it is proven, or the proven
  /// beginning of it. With a helper, a second thread that makes it faster, not all of a slice may be
  /// proven by then.
  func fold<Element: HashedEntry>(
    onto state: inout CatalogState, through end: LogPosition, withHelper: Bool = false,
    decode: @escaping @Sendable (UnsafeRawBufferPointer, LogPosition) throws(StoreError) -> Element,
    body: @escaping ([Element]) throws(StoreError) -> Void
  ) throws(StoreError) {
    let start = state.appliedThrough
    guard end > start else { return }
    var progress = ReplayProgress(
      entryCount: 0, entryTotal: end.rawValue - start.rawValue, byteCount: 0, position: start)
    let source = try pipeline.source(over: log, from: start.next, through: end, decode: decode)
    let feed = EntryFeed(source) { (slice) throws(StoreError) in
      try body(slice.elements)
      progress.entryCount += UInt64(slice.elements.count)
      progress.byteCount += slice.byteCount
      progress.position = slice.last
      onProgress?(progress)
      if isCancelled?() ?? false { throw .cancelled(after: slice.last) }
    }
    if isCancelled?() ?? false { throw .cancelled(after: start) }
    if withHelper, onEntry == nil, progress.entryTotal >= helpedEntryCount {
      let helper = try WorkLine(name: "fold-helper")
      do throws(EvolveError) {
        try state.evolve(all: feed, with: helper)
      } catch {
        // One thread finds out which entry it is.
        return try fold(onto: &state, through: end, decode: decode, body: body)
      }
      if let problem = feed.problem { throw problem }
      return
    }
    let before = state
    do throws(EvolveError) {
      if let onEntry {
        while let element = feed.next() {
          try state.evolve(element.entry, hash: element.hash)
          onEntry(state, element.entry)
        }
      } else {
        // No versions in between: most entries change in place what others copied before.
        try state.evolve(all: feed)
      }
    } catch {
      let proven = feed.elementsBeforeLast
      try body(proven)
      if onEntry == nil {
        state = before
        refold(&state, count: feed.count - 1)
      }
      guard let last = feed.last else { throw .unproven(start.next, error) }
      throw log.refusal(of: last.entry, hash: last.hash, error)
    }
    if let problem = feed.problem { throw problem }
  }

  /// Folds entries that were proven before into `state` again.
  private func refold(_ state: inout CatalogState, count: Int) {
    guard count > 0 else { return }
    let end = LogPosition(state.appliedThrough.rawValue + UInt64(count))
    guard
      let source = try? pipeline.source(
        over: log, from: state.appliedThrough.next, through: end,
        decode: DecodedEntry.decoder(reading: log.reading))
    else { return }
    // Should it fail now, the state stays the older one, which is good too.
    try? state.evolve(all: EntryFeed(source) { _ in })
  }
}

/// An entry without its bytes.
struct DecodedEntry: HashedEntry {
  let entry: LogEntry
  let hash: EntryHash

  /// Decodes entries for a reader that reads so much beyond format 1.
  static func decoder(
    reading: CapabilitySet
  ) -> @Sendable (UnsafeRawBufferPointer, LogPosition) throws(StoreError) -> DecodedEntry {
    { (bytes, position) throws(StoreError) in
      try DecodedEntry(bytes, at: position, reading: reading)
    }
  }

  /// - Throws: ``StoreError/damaged(_:_:)`` when the bytes are not those of the entry at `position`.
  init(
    _ bytes: UnsafeRawBufferPointer, at position: LogPosition, reading: CapabilitySet
  ) throws(StoreError) {
    do {
      entry = try LogEntry(decoding: bytes, reading: reading)
    } catch {
      throw StoreError(error, at: position)
    }
    guard entry.position == position else {
      throw .damaged(position, .misplaced(entry.position))
    }
    hash = EntryHash(of: bytes)
  }
}

import Catalog
import StateMachines
import Synchronization

/// What a reader keeps from one question to the next.
final class AuditCaches: Sendable {
  let replayed: ReplayedStates
  let intervals = IntervalCache()
  let checkpoints = KnownCheckpoints()

  init(replayInterval: UInt64) { replayed = ReplayedStates(interval: replayInterval) }
}

/// States on the way through a log that has no checkpoints: replayed once, kept at intervals, from
/// which entries lead on.
///
/// They share what did not change between them. There are at most ``maximumCount`` of them: then
/// every second one is dropped, and the interval is twice as long.
final class ReplayedStates: Sendable {
  static let maximumCount = 64

  fileprivate struct Kept {
    /// The base that they were made from: another one means another log.
    var base: BaseHeader?
    var states: [CatalogState] = []
    var interval: UInt64
  }

  private let firstInterval: UInt64
  private let kept: Mutex<Kept>

  /// - Parameter interval: How many versions lie between two states that are kept, at first.
  init(interval: UInt64) {
    firstInterval = interval
    kept = Mutex(Kept(interval: interval))
  }

  /// The newest kept state at or before `version`, which is less than an interval older.
  func state(
    atOrBefore version: CatalogVersion, _ reader: AuditReader
  ) throws(AuditError) -> CatalogState {
    let base = try reader.ends().base
    do throws(StoreError) {
      return try kept.withLock { (kept) throws(StoreError) -> CatalogState in
        if kept.states.isEmpty || kept.base != base {
          kept = Kept(
            base: base, states: [try reader.log.start()], interval: firstInterval)
        }
        try kept.extend(to: version, reader)
        let index = kept.states.firstIndex { $0.version > version } ?? kept.states.count
        // The first state is that of the oldest retained version.
        return kept.states[max(0, index - 1)]
      }
    } catch {
      throw .store(error)
    }
  }
}

extension ReplayedStates.Kept {
  /// Replays on, until the last kept state is less than an interval older than `version`.
  fileprivate mutating func extend(
    to version: CatalogVersion, _ reader: AuditReader
  ) throws(StoreError) {
    var replayer = Replayer(reader.log)
    replayer.isCancelled = reader.isCancelled
    replayer.onProgress = reader.onProgress
    while var state = states.last, state.version < version,
      state.routes.isEmpty || version.rawValue - state.version.rawValue >= interval
    {
      // A bootstrap may be of a million routes: nothing is looked up through its entry.
      let step = state.routes.isEmpty ? 1 : interval
      let next = CatalogVersion(state.version.rawValue + step)
      guard let position = try reader.log.position(of: next) else {
        throw .damaged(
          state.appliedThrough.next,
          .index("the index of versions does not lead to version \(next)"))
      }
      try replayer.replay(onto: &state, through: position)
      states.append(state)
      if states.count > ReplayedStates.maximumCount {
        states = stride(from: 0, to: states.count, by: 2).map { states[$0] }
        interval *= 2
      }
    }
  }
}

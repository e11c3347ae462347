import Synchronization

/// What an edit leaves to a second thread: hashing records, and changing the indexes by id and by
/// group, which no change of a route reads.
final class DeferredChanges {
  private var records = RecordBatch()
  private var starts = StartChanges()
  private var groups = GroupChanges()
  /// Found in records that were handed over; looked for when more are.
  private(set) var divergence: Divergence?

  private let worker: any SerialWorker
  private let shared = Shared()
  private let whole: @Sendable (StateDigest, DigestExpectation) -> StateDigest
  private var isBegun = false

  /// What the second thread works on.
  private final class Shared: Sendable {
    let indexes = Mutex<RouteIndex.Editor?>(nil)
    let sum = Mutex(StateDigest.zero)
    let divergence = Mutex<Divergence?>(nil)
  }

  private let recordByteCount: Int
  private let changeCount: Int

  /// Hands over so many bytes of records at a time, and so many changes of an index.
  init(
    _ worker: any SerialWorker, recordByteCount: Int, changeCount: Int,
    whole: @escaping @Sendable (StateDigest, DigestExpectation) -> StateDigest
  ) {
    self.worker = worker
    self.recordByteCount = recordByteCount
    self.changeCount = changeCount
    self.whole = whole
  }

  func add(_ record: UnsafeRawBufferPointer, isThere: Bool) {
    records.add(record, isThere: isThere)
  }

  func add(_ expectation: DigestExpectation) { records.add(expectation) }

  func setStart(_ start: UnsafeRawBufferPointer?, of route: RouteID) {
    starts.add(route, start)
  }

  func setGroup(_ group: GroupID, of route: RouteID, _ isThere: Bool) {
    groups.add(group, route, isThere)
  }

  /// Hands over what there is enough of. Between two changes of the edit's.
  func handOver(_ indexes: inout RouteIndex.Editor, _ sum: StateDigest) {
    if records.byteCount >= recordByteCount { handOverRecords(&indexes, sum) }
    if max(groups.count, starts.count) >= changeCount { handOverIndexes(&indexes, sum) }
  }

  /// Waits until all is done, and takes over what came of it.
  func finish(_ indexes: inout RouteIndex.Editor, _ sum: inout StateDigest) {
    guard isBegun || !records.isEmpty else { return }
    handOverRecords(&indexes, sum)
    handOverIndexes(&indexes, sum)
    worker.finish()
    isBegun = false
    sum = shared.sum.withLock { $0 }
    divergence = shared.divergence.withLock { $0 }
    if let changed = shared.indexes.withLock({ $0.take() }) { indexes.join(changed) }
  }

  private func begin(_ indexes: inout RouteIndex.Editor, _ sum: StateDigest) {
    guard !isBegun else { return }
    isBegun = true
    shared.sum.withLock { $0 = sum }
    shared.indexes.withLock {
      $0 = indexes.fork(RouteTable.TreeIndex.byID, RouteTable.TreeIndex.byGroup)
    }
  }

  private func handOverRecords(
    _ indexes: inout RouteIndex.Editor, _ sum: StateDigest
  ) {
    begin(&indexes, sum)
    divergence = shared.divergence.withLock { $0 }
    let batch = exchange(&records, with: RecordBatch())
    worker.run { [shared, whole] in
      guard shared.divergence.withLock({ $0 == nil }) else { return }
      let divergence = shared.sum.withLock { batch.fold(into: &$0, whole: whole) }
      if let divergence { shared.divergence.withLock { $0 = divergence } }
    }
  }

  private func handOverIndexes(
    _ indexes: inout RouteIndex.Editor, _ sum: StateDigest
  ) {
    begin(&indexes, sum)
    let starts = exchange(&starts, with: StartChanges())
    let groups = exchange(&groups, with: GroupChanges())
    worker.run { [shared] in
      shared.indexes.withLock { indexes in
        starts.forEach { indexes?.setStart($1, of: $0) }
        var groups = groups
        for change in groups.takeAll() {
          indexes?.setGroup(change.group, of: change.route, change.isThere)
        }
      }
    }
  }
}

extension RouteIndex.Editor {
  /// Changes a table's index by id: where the route starts; nil where it goes.
  mutating func setStart(_ start: UnsafeRawBufferPointer?, of route: RouteID) {
    IndexKey.withBytes(of: route) {
      if let start {
        _ = upsert(key: $0, payload: start, in: RouteTable.TreeIndex.byID)
      } else {
        _ = remove(key: $0, from: RouteTable.TreeIndex.byID)
      }
    }
  }

  /// Changes a table's index by group: whether the route is there.
  mutating func setGroup(_ group: GroupID, of route: RouteID, _ isThere: Bool) {
    IndexKey.withBytes(of: group, route) {
      if isThere {
        _ = upsert(key: $0, payload: .empty, in: RouteTable.TreeIndex.byGroup)
      } else {
        _ = remove(key: $0, from: RouteTable.TreeIndex.byGroup)
      }
    }
  }
}

import Catalog
import StateMachines

extension CheckpointStore {
  /// Proves all checkpoints that are of the log's history, and counts the others.
  func proveAll(
    against log: EventLog, isCancelled: () -> Bool
  ) throws(StoreError) -> (proven: Int, foreign: Int) {
    if let version = try damagedRoots().first {
      throw .checkpointDamaged(version, "the row of its root")
    }
    var (count, foreign) = (0, 0)
    var last: CheckpointRoot?
    for root in try roots() {
      guard case .same = try log.agreement(with: root) else {
        foreign += 1
        continue
      }
      do throws(StoreError) {
        try prove(root, since: last)
      } catch .noCheckpoint {
        continue  // Dropped meanwhile.
      }
      (last, count) = (root, count + 1)
      if isCancelled() { throw .cancelled(after: root.position) }
    }
    return (count, foreign)
  }
}

extension EventLog {
  /// The hash of the entry at a position, or of the one that the log begins after; nil when neither
  /// is here. O(log *n*), and the size of the entry.
  package func hash(at position: LogPosition) throws(StoreError) -> EntryHash? {
    try environment.read { transaction throws(StoreError) in
      if let base = try baseHeader(in: transaction), base.position == position { return base.hash }
      guard try position >= firstPosition(in: transaction) else { return nil }
      return try transaction.value(of: position.rawValue, in: tables.entries) {
        EntryHash(of: $0)
      }
    }
  }
}

import Catalog
import StateMachines
import Synchronization

/// Makes the commitment to each checkpoint, on the checkpointer's thread: never in the way of a
/// command.
final class CommitmentKeeper: Sendable {
  private let log: EventLog
  /// The tree of the routes that were committed to last, which the next one follows from.
  private let known = Mutex<(table: RouteTable, tree: RouteCommitmentTree)?>(nil)

  init(_ log: EventLog) { self.log = log }

  /// Keeps the commitment to `state`, of which there is a checkpoint, and gives it back: to be
  /// appended by whoever decides what is. Nil when the log begins after a state that was taken over
  /// and does not know of the entries before: nobody can commit to those.
  ///
  /// - Complexity: O(*d* log *n*) for *d* routes that changed since the last time, else O(*n*), and
  ///   the entries since.
  func commit(
    to state: CatalogState, in checkpoints: CheckpointStore
  ) throws(StoreError) -> CatalogCommitment? {
    guard var frontier = try frontier(before: state.appliedThrough, in: checkpoints) else {
      return nil
    }
    let end = state.appliedThrough
    try log.hashes(after: frontier.position, through: end) { _, hash in frontier.append(hash) }
    let root = known.withLock { known -> MerkleHash in
      var tree: RouteCommitmentTree
      if let old = known {
        tree = old.tree
        tree.update(from: old.table, to: state.routes)
      } else {
        tree = RouteCommitmentTree(of: state.routes)
      }
      known = (state.routes, tree)
      return tree.root
    }
    let row = CommitmentRow(version: state.version, routesRoot: root, frontier: frontier)
    try checkpoints.put(row)
    return row.commitment
  }

  /// The newest frontier to go on from; nil when there is none.
  private func frontier(
    before position: LogPosition, in checkpoints: CheckpointStore
  ) throws(StoreError) -> LogFrontier? {
    let first = try log.firstPosition()
    let kept = try checkpoints.commitments().last {
      $0.frontier.position <= position && $0.frontier.position.next >= first
    }
    if let kept { return kept.frontier }
    return first == LogPosition(1) ? LogFrontier() : nil
  }
}

extension Note {
  /// The note that commits to a state. One id for each version, so that it is appended once.
  init(_ commitment: CatalogCommitment, of catalog: CatalogID) {
    let name =
      Array("cadastre/commitment/1".utf8) + catalog.bytes
      + withUnsafeBytes(of: commitment.version.rawValue.littleEndian, Array.init)
    let hash = name.withUnsafeBytes(EntryHash.init(of:)).bytes
    guard let id = CommandID(bytes: hash.prefix(CommandID.byteCount)) else {
      preconditionFailure("a hash has more bytes than an id")
    }
    self.init(
      id: id, reason: "commitment to version \(commitment.version)",
      events: [.catalogCommitted(commitment)])
  }
}

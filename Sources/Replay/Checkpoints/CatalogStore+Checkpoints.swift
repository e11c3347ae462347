import Catalog
import StateMachines

extension CatalogStore {
  /// The checkpoints beside the log; nil as long as there are none.
  package var checkpoints: CheckpointStore? { writer.checkpointer.store }

  /// Why the last checkpoint was not made, which is tried again; nil when it was.
  package var checkpointCondition: StoreError? { writer.checkpointer.condition }

  /// Why nothing was committed to with the last checkpoint; nil when that was done, or when the log
  /// began after a state that was taken over. The next checkpoint tries again.
  package var commitmentCondition: StoreError? { writer.commitmentCondition }

  /// Makes a checkpoint of the current state now, unless its version has one. Blocks until it is
  /// durable, as long as its changes take to write.
  ///
  /// - Returns: The newest root; nil when the catalog is empty.
  @discardableResult
  package func checkpointNow() throws(StoreError) -> CheckpointRoot? {
    let outcome = Monitor<Result<CheckpointRoot?, StoreError>?>(nil)
    writer.checkpointer.request { result in outcome.change { $0 = result } }
    return try outcome.wait(until: { $0 }).get()
  }

  /// Like the blocking one, and waits without blocking a thread.
  @discardableResult
  package func checkpointNow() async throws(StoreError) -> CheckpointRoot? {
    let result = await withCheckedContinuation { continuation in
      writer.checkpointer.request { continuation.resume(returning: $0) }
    }
    return try result.get()
  }

  /// Tells `hook` of each checkpoint that is written from now on: its root, its state, and the state
  /// of the root before where that is at hand. Called by the thread that makes checkpoints, which
  /// waits for it; nil ends it.
  package func onCheckpoint(
    _ hook: (@Sendable (CheckpointRoot, CatalogState, CatalogState?) -> Void)?
  ) {
    writer.checkpointer.setHook(hook)
  }

  /// Tells `body` why a checkpoint could not be made, each time; see ``checkpointCondition``. Called
  /// by the thread that makes checkpoints.
  package func onCheckpointFailure(_ body: (@Sendable (StoreError) -> Void)?) {
    writer.checkpointer.setFailureHook(body)
  }
}

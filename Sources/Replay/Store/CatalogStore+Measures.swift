extension CatalogStore {
  /// How many commands were taken in and have no answer yet.
  package var waitingCommandCount: Int { writer.unansweredCount }

  /// The bytes that the log's file takes on the disk.
  package var logByteCount: Int { log.allocatedByteCount }

  /// The newest checkpoint; nil when there is none. O(*n*) in the number of checkpoints.
  package func newestCheckpoint() throws(StoreError) -> CheckpointRoot? {
    try checkpoints?.roots().last
  }
}

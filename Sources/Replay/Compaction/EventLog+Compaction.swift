import Catalog

extension EventLog {
  /// Gives free pages back to the disk, while others read and write; see ``Compaction``. Blocks for
  /// as long as it takes to copy what the log holds; writers wait for the last step alone.
  ///
  /// - Throws: ``StoreError``; but for ``StoreError/unusable(reason:)`` the log is as it was.
  package func compact() throws(StoreError) -> FileShrinkage {
    try checkWritable()
    let compaction = try Compaction(
      of: environment, growing: ["entries", "versions", "commands", "remembered"])
    try compaction.copyAhead()
    return try compaction.finish()
  }

  /// The bytes that the log's file takes on the disk.
  package var allocatedByteCount: Int { FileSize.allocated(folder + "/data.mdb") }
}

extension CheckpointStore {
  /// Gives free pages back to the disk, while others read; see ``Compaction``. New checkpoints wait.
  ///
  /// - Throws: ``StoreError``; but for ``StoreError/unusable(reason:)`` all is as it was.
  package func compact() throws(StoreError) -> FileShrinkage {
    try withTurn { () throws(StoreError) in
      let compaction = try Compaction(of: environment, growing: ["nodes", "roots", "dead"])
      try compaction.copyAhead()
      return try compaction.finish()
    }
  }

  /// The bytes that the checkpoints' file takes on the disk.
  package var allocatedByteCount: Int { FileSize.allocated(folder + "/data.mdb") }
}

import Catalog
import StateMachines

/// When files give the pages that came free back to the disk.
package enum CompactionDemand: String, Hashable, Sendable {
  case always, worthwhile, never
}

extension EventLog {
  /// What a policy would remove now from this log and the checkpoints beside it. Changes nothing, and
  /// needs no right to write.
  package func trimPreview(
    _ policy: RetentionPolicy, nowMilliseconds: UInt64
  ) throws(StoreError) -> TrimReport {
    guard
      let checkpoints = try CheckpointStore.open(
        folder: folder, mode: .readOnly, catalog: catalog)
    else { return TrimReport() }
    return try Trimmer(
      log: self, checkpoints: checkpoints, policy: policy, nowMilliseconds: nowMilliseconds
    ).preview()
  }
}

extension CatalogStore {
  /// What a policy would remove now. Changes nothing.
  package func trimPreview(
    _ policy: RetentionPolicy, nowMilliseconds: UInt64
  ) throws(StoreError) -> TrimReport {
    try log.trimPreview(policy, nowMilliseconds: nowMilliseconds)
  }

  /// Removes what a policy does not keep, while the store is read and written; see ``Trimmer``. When
  /// entries went, a leader appends a marker to the log that says so, signed with the key that
  /// `key` gives; what a learner trims is its own affair. Blocks.
  ///
  /// - Throws: ``StoreError``; what was removed until then stays removed, and the log is whole.
  package func trim(
    _ policy: RetentionPolicy, nowMilliseconds: UInt64,
    compacting demand: CompactionDemand = .worthwhile,
    signingWith key: () throws(StoreError) -> SigningKey
  ) throws(StoreError) -> TrimReport {
    try upkeep.withLock { isClosed throws(StoreError) in
      guard !isClosed else { throw .unusable(reason: "it is closed") }
      if let condition { throw condition }
      guard let checkpoints else { return TrimReport() }
      let trimmer = Trimmer(
        log: log, checkpoints: checkpoints, policy: policy, nowMilliseconds: nowMilliseconds)
      var report = try trimmer.remove()
      try markTrim(key)
      if demand != .never {
        try noting { () throws(StoreError) in
          try trimmer.compact(always: demand == .always, &report)
        }
      }
      return report
    }
  }

  /// Gives the free pages of the log back to the disk while it is read and written; see
  /// ``EventLog/compact()``. Blocks.
  package func compactLog() throws(StoreError) -> FileShrinkage {
    try upkeep.withLock { isClosed throws(StoreError) in
      guard !isClosed else { throw .unusable(reason: "it is closed") }
      var shrinkage = FileShrinkage(before: 0, after: 0)
      try noting { () throws(StoreError) in shrinkage = try log.compact() }
      return shrinkage
    }
  }

  /// Appends the marker of a trim that has none, also of one that a crash came after.
  private func markTrim(_ key: () throws(StoreError) -> SigningKey) throws(StoreError) {
    guard try log.unmarkedTrim() != nil else { return }
    if role == .leader || shared?.term != nil, let note = try log.trimNote(signedWith: key()) {
      let outcome = Monitor<Result<Receipt, CommandFailure>?>(nil)
      append(note) { result in outcome.change { $0 = result } }
      switch outcome.wait(until: { $0 }) {
      case .success, .failure(.commandIDReused): break  // It is there, if with another signature.
      case .failure(.notLeader): break  // What a member trims that leads no more is its own affair.
      case .failure(.storage(let error)): throw error
      case .failure(let failure): throw .unusable(reason: "\(failure)")
      }
    }
    try log.forgetUnmarkedTrim()
  }

  /// Takes note when a file could not be opened again.
  private func noting(_ body: () throws(StoreError) -> Void) throws(StoreError) {
    do throws(StoreError) {
      try body()
    } catch {
      if case .unusable = error { writer.noteFailure(error) }
      throw error
    }
  }
}

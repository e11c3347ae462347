import Catalog
import StateMachines

/// What a trim removed, or would remove.
package struct TrimReport: Hashable, Sendable {
  /// The versions of the checkpoints that went, and how many stay.
  package var dropped: [CatalogVersion] = []
  package var keptCount = 0
  /// Checkpoints that were to be the log's beginning and are not whole: an older one is.
  package var damaged: [CatalogVersion] = []
  /// The version that the log began after, and the one that it begins after now.
  package var baseBefore = CatalogVersion.zero
  package var base = CatalogVersion.zero
  /// Entries that went, and their bytes.
  package var entryCount: UInt64 = 0
  package var entryByteCount = 0
  /// Stored nodes that went, and their bytes; nil where that was not looked at.
  package var nodeCount: Int?
  package var nodeByteCount: Int?
  /// What the files take on the disk; nil for one that was not compacted.
  package var logFile: FileShrinkage?
  package var checkpointFile: FileShrinkage?

  /// Whether anything went.
  package var isEmpty: Bool { dropped.isEmpty && entryCount == 0 && base == baseBefore }
}

/// Removes what a ``RetentionPolicy`` does not keep, while others read and write.
///
/// Each step is durable before the next begins, and leaves a log that is whole: the checkpoint that
/// the log will begin after is proven; the log begins after it, which takes one transaction; other
/// checkpoints go, with the nodes that they alone could see; the entries from before go in slices;
/// and the pages go back to the disk. The checkpoint that the log begins after is never among those
/// that go, so that a crash between two steps costs nothing but to begin again.
struct Trimmer {
  /// The writer waits for as long as it takes to remove so many entries.
  static let sliceCount = 4_096
  /// A file is compacted when so much of it came free, as a part of what it takes on the disk.
  private static let worthwhilePart = 4

  let log: EventLog
  let checkpoints: CheckpointStore
  var policy: RetentionPolicy
  var nowMilliseconds: UInt64

  /// What would go. Changes nothing, and needs no right to write.
  func preview() throws(StoreError) -> TrimReport {
    let roots = try checkpoints.roots()
    let plan = try plan(roots)
    var report = try report(roots, plan)
    if let base = plan.base, let root = roots.first(where: { $0.version == base }) {
      try measure(through: root.position, &report)
    }
    let nodes = try checkpoints.previewDropping(plan.dropped)
    (report.nodeCount, report.nodeByteCount) = (nodes.nodeCount, nodes.byteCount)
    return report
  }

  /// Removes it. Blocks for as long as that takes.
  func remove() throws(StoreError) -> TrimReport {
    var roots = try checkpoints.roots()
    var plan = try plan(roots)
    var damaged: [CatalogVersion] = []
    while let version = plan.base, let root = roots.first(where: { $0.version == version }) {
      do throws(StoreError) {
        // The entries that could make it anew are to go.
        try checkpoints.prove(root)
        break
      } catch {
        guard case .checkpointDamaged = error else { throw error }
        damaged.append(version)
        roots.removeAll { $0.version == version }
        plan = try self.plan(roots)
      }
    }
    var report = try report(roots, plan)
    report.damaged = damaged
    var dropped = plan.dropped
    if let version = plan.base, let root = roots.first(where: { $0.version == version }) {
      try measure(through: root.position, &report)
      try log.begin(after: root, policy: policy.description)
    }
    // A trim that was broken off, too.
    (report.nodeCount, report.nodeByteCount) = (0, 0)
    let base = try log.baseRootVersion()
    dropped.removeAll { $0 == base }
    for version in dropped {
      let gone = try checkpoints.dropRoot(version)
      report.nodeCount = (report.nodeCount ?? 0) + gone.nodeCount
      report.nodeByteCount = (report.nodeByteCount ?? 0) + gone.byteCount
    }
    while try log.removeTrimmed(limit: Self.sliceCount) > 0 {}
    return report
  }

  /// Gives the pages that came free back to the disk: with `always` whatever it is worth, else where
  /// they were a good part of a file.
  func compact(always: Bool, _ report: inout TrimReport) throws(StoreError) {
    let size = (log.allocatedByteCount, checkpoints.allocatedByteCount)
    if always || report.entryByteCount > size.0 / Self.worthwhilePart {
      report.logFile = try log.compact()
    }
    if always || (report.nodeByteCount ?? 0) > size.1 / Self.worthwhilePart {
      report.checkpointFile = try checkpoints.compact()
    }
  }

  private func plan(_ roots: [CheckpointRoot]) throws(StoreError) -> RetentionPolicy.Plan {
    var plan = policy.plan(
      roots.map {
        RetentionPolicy.Checkpoint(
          version: $0.version, position: $0.position, time: $0.header.time)
      }, base: try log.baseVersion(), nowMilliseconds: nowMilliseconds)
    // Only what the log vouches for becomes its beginning.
    if let base = plan.base, let root = roots.first(where: { $0.version == base }) {
      let entry = try log.entry(at: root.position)
      guard entry?.hash == root.header.hash, entry?.entry.digest == root.header.digest else {
        plan.base = nil
        plan.dropped = []
        return plan
      }
    }
    return plan
  }

  private func report(
    _ roots: [CheckpointRoot], _ plan: RetentionPolicy.Plan
  ) throws(StoreError) -> TrimReport {
    var report = TrimReport()
    report.baseBefore = try log.baseVersion()
    report.base = plan.base ?? report.baseBefore
    report.dropped = plan.dropped
    report.keptCount = roots.count - plan.dropped.count
    return report
  }

  /// Adds up the entries from the log's beginning through a position.
  private func measure(
    through last: LogPosition, _ report: inout TrimReport
  ) throws(StoreError) {
    var next = try log.firstPosition()
    while next <= last {
      let count = Int(min(last.rawValue - next.rawValue + 1, 16_384))
      var byteCount = 0
      try log.scan(from: next, maxCount: count, maxBytes: .max) { _, bytes in
        byteCount += bytes.count
      }
      report.entryCount += UInt64(count)
      report.entryByteCount += byteCount
      next = LogPosition(next.rawValue + UInt64(count))
    }
  }
}

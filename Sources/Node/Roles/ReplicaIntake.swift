import Catalog
import Foundation
import Logging
import Replay
import StateMachines
import Synchronization

/// Takes what a leader sends into a learner's store, in order. One for each stream.
final class ReplicaIntake: Sendable {
  private let core: NodeCore
  // The parts of an entry that came in several messages.
  private let partial = Mutex<[UInt8]>([])

  init(core: NodeCore) { self.core = core }

  /// - Throws: What ended the following; see ``Replica/remedy(for:)``.
  func take(_ message: Wire.FollowResponse) async throws {
    switch message.kind {
    case .started(let started):
      let catalog = try fixed("catalog_id", started.catalogID, as: CatalogID.self)
      guard catalog == core.store.catalog else {
        throw StoreError.otherCatalog(expected: core.store.catalog, found: catalog)
      }
      core.updateLearner { $0.isConnected = true }
      core.logger.info(
        "following",
        metadata: [
          "catalog_version": "\(core.store.current.version)",
          "leader_version": "\(started.leader.version)",
        ])
      heard(started.leader)
    case .entries(let batch):
      var entries: [EncodedEntry] = []
      entries.reserveCapacity(batch.entries.count)
      for bytes in batch.entries {
        do {
          entries.append(try EncodedEntry(decoding: Array(bytes)))
        } catch {
          // What came before the damage is whole.
          try await store(entries)
          throw error
        }
      }
      try await store(entries, vouchedBy: batch.lastHash)
      heard(batch.leader)
    case .chunk(let chunk):
      let entry = try partial.withLock { partial throws -> [UInt8]? in
        guard partial.count + chunk.data.count <= LogEntry.maximumByteCount else {
          throw MalformedMessage("an entry of more than \(LogEntry.maximumByteCount) bytes")
        }
        partial += chunk.data
        guard chunk.last else { return nil }
        defer { partial = [] }
        return partial
      }
      if let entry {
        try await store([try EncodedEntry(decoding: entry)], vouchedBy: chunk.hash)
      }
    case .heartbeat(let heartbeat):
      heard(heartbeat)
    case .reset(let reset):
      throw ResetByLeader(
        reason: reset.reason, firstPosition: LogPosition(reset.firstPosition),
        lastPosition: LogPosition(reset.lastPosition))
    case nil:
      // A kind of message that a later version knows, and that can be done without.
      break
    }
  }

  /// Stores entries, the last of which has the given hash; empty from a leader that gives none. The
  /// others are vouched for by the one after them, parts of the last by nothing else.
  private func store(_ entries: [EncodedEntry], vouchedBy hash: Data) async throws {
    guard let last = entries.last else { return }
    guard try hash.isEmpty || fixed("hash", hash) == last.hash else {
      let rest = entries.dropLast()
      if rest.last?.hash == last.entry.previous { try await store(Array(rest)) }
      throw DamagedOnTheWay(position: last.entry.position)
    }
    try await store(entries)
  }

  private func store(_ entries: [EncodedEntry]) async throws {
    guard !entries.isEmpty else { return }
    try await core.store.replicate(entries)
    core.agree()
    core.freshness.stored(core.store.current.appliedThrough)
    core.waits.publish()
  }

  private func heard(_ leader: Wire.Heartbeat) {
    let stored = core.store.current.appliedThrough
    let staleness =
      leader.hasStalenessMs
      ? Duration(boundedMilliseconds: leader.stalenessMs) : nil
    core.freshness.heard(
      position: LogPosition(leader.position), version: CatalogVersion(leader.version),
      answering: leader.probe, staleness: staleness, stored: stored)
    if stored.rawValue >= leader.position {
      core.updateLearner { $0.lastError = "" }
      core.agree()
    }
    core.waits.publish()
  }
}

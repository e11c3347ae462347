import Catalog
import StateMachines

/// An entry that decodes, continues the chain and is vouched for, and that cannot be applied all the
/// same: not damage, but what somebody decided that this release cannot follow.
package struct PoisonEntry: Hashable, Sendable {
  package var position: LogPosition
  package var hash: EntryHash
  package var time: HybridTimestamp
  /// The version that it would have made.
  package var version: CatalogVersion
  package var command: CommandID
  package var actor: String
  package var reason: String
  /// Why it cannot be applied, for people.
  package var problem: String
  /// The file that keeps its bytes; nil where none could be written.
  package var report: String?

  /// Nil when `error` says that the entry is another's, or is none to be applied here: that is no
  /// fault of the entry.
  init?(_ entry: LogEntry, hash: EntryHash, refusedFor error: EvolveError) {
    switch error {
    case .timeNotAfter, .wrongVersion, .doesNotApply, .doesNotFitMembers, .ahead, .diverged,
      .doesNotFitRegion:
      break
    case .gap, .brokenChain, .forked, .routesDoNotFit, .wrongDigest, .impossibleHeader,
      .otherStream, .recordsDoNotFit, .membershipUnreadable:
      return nil
    }
    position = entry.position
    self.hash = hash
    time = entry.time
    version = entry.version
    command = entry.command
    actor = entry.actor
    reason = entry.reason
    problem = "\(error)"
  }
}

extension PoisonEntry: CustomStringConvertible {
  /// Which entry it is, who wrote it, and why it cannot be applied.
  package var description: String {
    "entry \(position) cannot be applied, though it is whole and continues the chain: \(problem) "
      + "(hash \(hash), command \(command), by \"\(actor)\", reason \"\(reason)\""
      + (report.map { ", kept in \($0))" } ?? ")")
  }
}

extension CatalogLog {
  /// What to call the refusal of the entry that follows a state: poison where the chain after it
  /// vouches for its bytes, else an entry that does not follow.
  func refusal(of entry: LogEntry, hash: EntryHash, _ error: EvolveError) -> StoreError {
    guard let poison = PoisonEntry(entry, hash: hash, refusedFor: error),
      vouches(for: hash, at: entry.position)
    else { return .unproven(entry.position, error) }
    return .poisoned(poison)
  }

  /// Whether what follows the entry at a position names this hash for it.
  func vouches(for hash: EntryHash, at position: LogPosition) -> Bool {
    if let next = (try? entry(at: position.next)).flatMap({ $0 }) {
      return next.entry.previous == hash
    }
    let head = (try? writtenHead()).flatMap { $0 }
    return head?.position == position && head?.hash == hash
  }

  /// Keeps the bytes of the poison entry that `error` is about, which is in this log; another error
  /// is passed on as it is.
  func quarantined(_ error: StoreError, from source: any CatalogLog) -> StoreError {
    guard case .poisoned(let poison) = error,
      let bytes = try? source.entryBytes(from: poison.position, maxCount: 1).first
    else { return error }
    return .poisoned(quarantine(poison, bytes: bytes))
  }
}

extension EventLog {
  /// Keeps the bytes of a poison entry in the log's folder, and says where.
  package func quarantine(_ poison: PoisonEntry, bytes: [UInt8]) -> PoisonEntry {
    var poison = poison
    poison.report = try? QuarantineReport(poison: poison, bytes: bytes).write(in: folder)
    return poison
  }
}

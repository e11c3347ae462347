import Catalog
import StateMachines

extension AuditReader {
  /// The records of the members and regions after the entry at a position, from the nearest checkpoint
  /// before it, or else what the log begins after, and the entries since.
  ///
  /// The digest in the header of a state at the position proves them.
  ///
  /// - Throws: ``AuditError`` when the log tells of the position no longer, or not yet.
  /// - Complexity: O(*n*) for *n* entries in between.
  package func membership(at position: LogPosition) throws(AuditError) -> [UInt8] {
    let (base, newest) = try ends()
    if let base, position < base.position {
      throw .store(.notRetained(position, first: base.position.next))
    }
    guard position <= newest.position else {
      throw .store(.gap(expected: newest.position.next, found: position))
    }
    var (known, start) = try records(atOrBefore: position, base)
    guard start < position else { return known }
    var events: [Event] = []
    while start < position {
      try checkCancelled(after: start)
      let count = Int(clamping: min(1024, position.rawValue - start.rawValue))
      let slice = try reading { () throws(StoreError) in
        try log.entries(from: start.next, maxCount: count, maxBytes: 4 << 20)
      }
      guard let end = slice.last?.entry.position else {
        throw .store(.gap(expected: start.next, found: position))
      }
      for encoded in slice { events += encoded.entry.events.filter(\.changesMembership) }
      start = end
    }
    guard !events.isEmpty else { return known }
    do {
      let store = IndexStore()
      var membership = try Membership(decoding: known, in: store)
      try membership.fold(events, in: store)
      known = membership.bytes
    } catch {
      throw .store(
        .baseDamaged("its members and regions do not lead to entry \(position): \(error)"))
    }
    return known
  }

  /// The records of a state at a position or before it, with its own position.
  private func records(
    atOrBefore position: LogPosition, _ base: BaseHeader?
  ) throws(AuditError) -> ([UInt8], LogPosition) {
    if let checkpoints = checkpoints() {
      let version = try position == base?.position ? base?.version ?? .zero : made(by: position)
      // A root of the same version may have come after more entries that make none.
      for version in [version, CatalogVersion(max(1, version.rawValue) - 1)] {
        guard let root = try checkpoint(atOrBefore: version)?.root, root.position <= position else {
          continue
        }
        if let members = try? checkpoints.members(of: root) { return (members, root.position) }
      }
    }
    guard let base else { return ([], .zero) }
    return try reading { () throws(StoreError) in
      let members = try log.environment.read { transaction throws(StoreError) in
        try transaction.value(of: LogTables.MetaKey.baseMembers, in: log.tables.meta) {
          [UInt8]($0)
        }
      }
      guard members != nil || base.membership == .zero else {
        throw .baseDamaged("its members and regions are missing")
      }
      return (members ?? [], base.position)
    }
  }

  private func made(by position: LogPosition) throws(AuditError) -> CatalogVersion {
    position == .zero ? .zero : try header(at: position).version
  }
}

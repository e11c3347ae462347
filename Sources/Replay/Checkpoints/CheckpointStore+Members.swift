import Catalog
import StateMachines

/// The memberships of checkpoints: few differ from one root to the next, so each is stored once, under
/// its digest, and goes with the last root that has it.
extension CheckpointStore {
  private static func key(_ digest: StateDigest) -> String {
    CheckpointTables.MetaKey.members + hexadecimal(digest.bytes)
  }

  /// The records of the membership of a root; none where it has none.
  ///
  /// - Throws: ``StoreError/checkpointDamaged(_:_:)`` when they are not there. That they are the right
  ///   ones, their digest shows.
  package func members(of root: CheckpointRoot) throws(StoreError) -> [UInt8] {
    let digest = root.header.membership
    guard digest != .zero else { return [] }
    let bytes = try environment.read { transaction throws(StoreError) in
      try transaction.value(of: Self.key(digest), in: tables.meta) { [UInt8]($0) }
    }
    guard let bytes else {
      throw .checkpointDamaged(root.version, "its members and regions are missing")
    }
    return bytes
  }

  /// That the membership of a root is there, and is the one of its digest.
  func proveMembers(of root: CheckpointRoot) throws(StoreError) {
    let membership: Membership
    do {
      membership = try Membership(decoding: members(of: root), in: IndexStore())
    } catch let error as StoreError {
      throw error
    } catch {
      throw .checkpointDamaged(root.version, "its members and regions: \(error)")
    }
    guard membership.digest == root.header.membership else {
      throw .checkpointDamaged(root.version, "its members and regions are not what was written")
    }
  }

  /// Stores a membership, unless it is there. With the first one the environment gets the format that
  /// has any.
  func put(
    _ membership: Membership, in transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) {
    guard !membership.isEmpty else { return }
    try put(members: membership.bytes, digest: membership.digest, in: transaction)
  }

  func put(
    members: [UInt8], digest: StateDigest, in transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) {
    try Self.format.withStoredBytes { (bytes) throws(StoreError) in
      try transaction.put(bytes, for: CheckpointTables.MetaKey.format, in: tables.meta)
    }
    try members.withRawBytes { (bytes) throws(StoreError) in
      try transaction.put(bytes, for: Self.key(digest), in: tables.meta)
    }
  }

  /// Removes the memberships that no root has any more.
  func removeUnusedMembers(in transaction: borrowing LMDB.WriteTransaction) throws(StoreError) {
    var used: Set<String> = []
    for row in try rootRows(in: transaction) {
      // A row that cannot be read may have any of them.
      guard let root = row.root else { return }
      used.insert(Self.key(root.header.membership))
    }
    var doomed: [String] = []
    try transaction.scan(tables.meta, from: CheckpointTables.MetaKey.members) { (key, _) in
      let name = String(decoding: key, as: UTF8.self)
      guard name.hasPrefix(CheckpointTables.MetaKey.members) else { return false }
      if !used.contains(name) { doomed.append(name) }
      return true
    }
    for name in doomed { try transaction.remove(name, from: tables.meta) }
  }
}

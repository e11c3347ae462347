import Catalog
import Glibc
import StateMachines
import Synchronization

/// A checkpoint of somebody else's that is being received, in an environment of its own within the
/// log's folder, so that it can be gone on with after the process died. Nobody sees anything of it
/// before all of it is there and proven.
package final class CheckpointIntake: Sendable {
  /// The folder of the environment, within that of the log.
  package static let folderName = "incoming"
  private static let rootKey = "root"

  /// How far a checkpoint has come.
  package struct Progress: Hashable, Sendable {
    package var root: CheckpointRoot
    /// The last node that is durable; 0 for none.
    package var lastNode: UInt64
  }

  private let store: CheckpointStore

  /// Opens what was begun in the folder of a log, or begins. What is there of another catalog, or
  /// cannot be read, is removed.
  package init(folder: String, catalog: CatalogID) throws(StoreError) {
    do throws(StoreError) {
      store = try CheckpointStore.incoming(folder: folder, catalog: catalog)
    } catch {
      switch error {
      case .otherCatalog, .truncated, .notALog, .newerFormat:
        CheckpointIntake.remove(in: folder)
        store = try CheckpointStore.incoming(folder: folder, catalog: catalog)
      default: throw error
      }
    }
  }

  /// What is there already; nil for nothing.
  package func progress() throws(StoreError) -> Progress? {
    try store.environment.read { transaction throws(StoreError) in
      let root = try transaction.value(of: Self.rootKey, in: store.tables.meta) {
        CheckpointRoot($0, of: store.catalog)
      }
      guard let root, let root else { return nil }
      let last = try transaction.last(in: store.tables.nodes) { (key, _) in UInt64(key: key) }
      return Progress(root: root, lastNode: last.flatMap { $0 } ?? 0)
    }
  }

  /// Begins with the checkpoint of this root, or goes on with it: then nothing happens. Durable on
  /// return.
  ///
  /// - Throws: ``StoreError/checkpointDamaged(_:_:)`` when the bytes are no root's row.
  package func begin(_ row: [UInt8]) throws(StoreError) {
    let catalog = store.catalog
    guard let root = row.withUnsafeBytes({ CheckpointRoot($0, of: catalog) }) else {
      throw .checkpointDamaged(.zero, "the row of its root")
    }
    guard try progress()?.root != root else { return }
    try store.environment.write { transaction throws(StoreError) in
      try transaction.removeAll(from: store.tables.nodes)
      try store.removeUnusedMembers(in: transaction)
      try row.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: Self.rootKey, in: store.tables.meta)
      }
    }
  }

  /// Stores nodes with ids above those that are there, ascending. Durable on return.
  ///
  /// - Throws: ``StoreError/checkpointDamaged(_:_:)`` when they are in another order, or not the
  ///   checkpoint's.
  package func add(_ nodes: [CheckpointStore.Node]) throws(StoreError) {
    guard let progress = try progress() else { throw .noCheckpoint(.zero) }
    var last = progress.lastNode
    for node in nodes {
      guard node.id > last, node.id < progress.root.nodes.upperBound else {
        throw .checkpointDamaged(progress.root.version, "node \(node.id) is out of order")
      }
      last = node.id
    }
    try store.environment.write { transaction throws(StoreError) in
      for node in nodes {
        try node.bytes.withRawBytes { (bytes) throws(StoreError) in
          try transaction.append(bytes, for: node.id, in: store.tables.nodes)
        }
      }
    }
  }

  /// Stores the records of the membership of the checkpoint. Durable on return.
  package func add(members bytes: [UInt8]) throws(StoreError) {
    guard let root = try progress()?.root else { throw .noCheckpoint(.zero) }
    try store.environment.write { transaction throws(StoreError) in
      try store.put(members: bytes, digest: root.header.membership, in: transaction)
    }
  }

  /// The state of the checkpoint, once all its nodes are there: each is the one that the root vouches
  /// for, and the routes have the digest of the state. What is not so is removed, all of it. O(*n*).
  ///
  /// - Throws: ``StoreError/checkpointDamaged(_:_:)`` that says what is not as it should be.
  package func finish() throws(StoreError) -> CatalogState {
    guard let root = try progress()?.root else { throw .noCheckpoint(.zero) }
    do throws(StoreError) {
      try store.show(root)
      try store.proveMembers(of: root)
      return try store.load(root).rebuilt()
    } catch {
      if case .checkpointDamaged = error { try forget() }
      throw error
    }
  }

  /// Removes what was received, to begin anew.
  private func forget() throws(StoreError) {
    try store.environment.write { transaction throws(StoreError) in
      try transaction.removeAll(from: store.tables.nodes)
      try transaction.removeAll(from: store.tables.roots)
      try store.removeUnusedMembers(in: transaction)
      try transaction.remove(Self.rootKey, from: store.tables.meta)
    }
  }

  /// Removes the environment of a log's folder where there is one.
  package static func remove(in folder: String) {
    let path = folder + "/" + folderName
    for name in ["data.mdb", "lock.mdb"] { unlink(path + "/" + name) }
    rmdir(path)
  }
}

extension CheckpointStore {
  /// Makes the root readable.
  fileprivate func show(_ root: CheckpointRoot) throws(StoreError) {
    try environment.write { transaction throws(StoreError) in
      try root.bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: root.version.rawValue, in: tables.roots)
      }
    }
  }
}

extension CatalogState {
  /// The same state, with indexes that were made of the routes alone: that those which came agree
  /// with each other and with the digest is not taken for true. O(*n*).
  fileprivate func rebuilt() throws(StoreError) -> CatalogState {
    do {
      return try CatalogState(
        restoring: header, routes: routes.routes(overlapping: .all), membership: membership.bytes)
    } catch {
      throw .checkpointDamaged(version, "\(error)")
    }
  }
}

import Catalog
import StateMachines

@testable import Replay

/// What checkpoints are, without any cleverness: a set of node ids for each root.
struct CheckpointTwin {
  private(set) var roots: [(version: UInt64, sees: Set<UInt64>)] = []

  /// The nodes that some root can see.
  var nodes: Set<UInt64> { roots.reduce(into: []) { $0.formUnion($1.sees) } }

  mutating func add(_ version: UInt64, sees: Set<UInt64>) {
    roots.append((version, sees))
  }

  mutating func drop(_ version: UInt64) { roots.removeAll { $0.version == version } }

  mutating func removeAll() { roots = [] }
}

extension CheckpointStore {
  /// All nodes that are there.
  func nodeIDs() throws(StoreError) -> Set<UInt64> {
    try environment.read { transaction throws(StoreError) in
      var ids: Set<UInt64> = []
      try transaction.scan(tables.nodes, from: 0) { (key, _) in
        ids.insert(UInt64(key: key) ?? 0)
        return true
      }
      return ids
    }
  }
}

/// A root that says of its trees what it has to, and nothing true.
func standInRoot(_ version: UInt64, nodes: Range<UInt64>) -> CheckpointRoot {
  let hash = withUnsafeBytes(of: version, EntryHash.init(of:))
  let tree = StoredTree(
    root: StoredNodeReference(id: nodes.upperBound - 1, hash: hash), height: 2, count: 40)
  return CheckpointRoot(
    header: StateHeader(
      catalog: testCatalog, position: LogPosition(version + 3), hash: hash,
      time: HybridTimestamp(1_785_312_000_000 << 16 | version), version: CatalogVersion(version),
      nextRouteID: RouteID(version * 2),
      digest: StateDigest(ofRecord: UnsafeRawBufferPointer(start: nil, count: 0))),
    routeCount: 40, trees: [tree, tree, tree], nodes: nodes)
}

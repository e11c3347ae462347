import Catalog
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// The environment of checkpoints: which nodes are there, and when they go.
@Suite struct CheckpointStoreTests {
  let folder = TemporaryFolder()

  private func open(_ mode: LogMode = .readWrite) throws -> CheckpointStore {
    var options = LogOptions()
    options.initialMapSize = 64 << 10
    return try #require(
      try CheckpointStore.open(
        folder: folder.path, mode: mode, catalog: testCatalog, options: options))
  }

  /// Roots come and go in any order, drafts are broken off, the store is opened again: what is there
  /// is what some root can see.
  @Test(arguments: testSeeds(count: 20))
  func nodesGoWithTheLastRootThatSeesThem(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var store = try open()
    var twin = CheckpointTwin()
    var version: UInt64 = 0
    for _ in 0..<60 {
      switch Int.random(in: 0..<10, using: &generator) {
      case 0..<5:
        version += UInt64.random(in: 1...9, using: &generator)
        let newest = twin.roots.last?.sees ?? []
        #expect(try store.newestNodeIDs() == newest, "seed \(seed)")
        let dead = newest.sorted().filter { _ in generator.oneIn(3) }
        try store.withTurn { () throws(StoreError) in
          var draft = try CheckpointDraft(store)
          let end = draft.firstNodeID + UInt64.random(in: 1...30, using: &generator)
          for id in draft.firstNodeID..<end {
            try [UInt8](repeating: UInt8(truncatingIfNeeded: id), count: 300).withRawBytes {
              (bytes) throws(StoreError) in try draft.write(id, bytes)
            }
          }
          try draft.finish(
            standInRoot(version, nodes: draft.firstNodeID..<end), dead: DeadList(dead))
          twin.add(version, sees: newest.subtracting(dead).union(draft.firstNodeID..<end))
        }
      case 5..<8:
        guard let doomed = twin.roots.randomElement(using: &generator)?.version else { continue }
        let before = twin.nodes.count
        twin.drop(doomed)
        let dropped = try store.dropRoot(CatalogVersion(doomed))
        #expect(dropped.nodeCount == before - twin.nodes.count, "seed \(seed)")
        #expect(dropped.byteCount == dropped.nodeCount * 300, "seed \(seed)")
        #expect(try store.dropRoot(CatalogVersion(doomed)).nodeCount == 0, "seed \(seed)")
      case 8:
        // A checkpoint that never gets its root, a slice of which was written.
        try store.withTurn { () throws(StoreError) in
          var draft = try CheckpointDraft(store)
          for id in draft.firstNodeID..<draft.firstNodeID + 3 {
            try [UInt8](repeating: 1, count: CheckpointDraft.sliceByteCount).withRawBytes {
              (bytes) throws(StoreError) in try draft.write(id, bytes)
            }
          }
        }
        #expect(try store.nodeIDs().count == twin.nodes.count + 3, "seed \(seed)")
        store = try open()
      default:
        guard generator.oneIn(6) else { continue }
        let next = try store.nextNodeID()
        try store.removeAll()
        twin.removeAll()
        #expect(try store.nextNodeID() == next, "ids are not given again; seed \(seed)")
      }
      #expect(try store.nodeIDs() == twin.nodes, "seed \(seed)")
      #expect(
        try store.roots().map(\.version.rawValue) == twin.roots.map(\.version), "seed \(seed)")
    }
  }

  @Test func aRootIsFoundByVersion() throws {
    let store = try open()
    #expect(try store.root(atOrBefore: CatalogVersion(100)) == nil)
    for version in [UInt64(10), 20, 30] {
      try store.withTurn { () throws(StoreError) in
        var draft = try CheckpointDraft(store)
        try draft.finish(
          standInRoot(version, nodes: draft.firstNodeID..<draft.firstNodeID + 1), dead: DeadList())
      }
    }
    #expect(try store.root(atOrBefore: CatalogVersion(9)) == nil)
    #expect(try store.root(atOrBefore: CatalogVersion(10))?.version == CatalogVersion(10))
    #expect(try store.root(atOrBefore: CatalogVersion(29))?.version == CatalogVersion(20))
    #expect(try store.root(atOrBefore: CatalogVersion(.max))?.version == CatalogVersion(30))
  }

  @Test func aReaderFindsNoneUntilThereIsOne() throws {
    let log = folder.path
    #expect(try CheckpointStore.open(folder: log, mode: .readOnly, catalog: testCatalog) == nil)
    let writer = try open()
    let reader = try open(.readOnly)
    #expect(try reader.roots().isEmpty)
    #expect(
      throws: StoreError.otherCatalog(expected: catalogID("another catalog1"), found: testCatalog)
    ) {
      try CheckpointStore.open(
        folder: log, mode: .readOnly, catalog: catalogID("another catalog1"))
    }
    withExtendedLifetime(writer) {}
  }

  /// A row that was changed is named, is passed over, and can be dropped.
  @Test func aDamagedRowIsNamedAndCanBeDropped() throws {
    let store = try open()
    for version in [UInt64(10), 20, 30] {
      try store.withTurn { () throws(StoreError) in
        var draft = try CheckpointDraft(store)
        let end = draft.firstNodeID + 2
        for id in draft.firstNodeID..<end {
          try [UInt8](repeating: 7, count: 9).withRawBytes { (bytes) throws(StoreError) in
            try draft.write(id, bytes)
          }
        }
        let dead = version == 30 ? [UInt64(1), 3] : []
        try draft.finish(
          standInRoot(version, nodes: draft.firstNodeID..<end), dead: DeadList(dead))
      }
    }
    try store.environment.write { transaction throws(StoreError) in
      let row = try transaction.value(of: 20, in: store.tables.roots) { [UInt8]($0) }
      guard var row else { throw .noCheckpoint(CatalogVersion(20)) }
      row[50] ^= 1
      try row.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: 20, in: store.tables.roots)
      }
    }
    #expect(try store.roots().map(\.version.rawValue) == [10, 30])
    #expect(try store.damagedRoots() == [CatalogVersion(20)])
    #expect(try store.root(atOrBefore: CatalogVersion(25))?.version == CatalogVersion(10))
    // Node 3 was its own; node 1 is still seen by the root before.
    #expect(try store.dropRoot(CatalogVersion(20)).nodeCount == 1)
    #expect(try store.nodeIDs() == [1, 2, 4, 5, 6])
    #expect(try store.damagedRoots().isEmpty)
    #expect(try store.dropRoot(CatalogVersion(10)).nodeCount == 1)
    #expect(try store.nodeIDs() == [2, 4, 5, 6])
  }

  /// The bytes of a root's row and of a dead list are what they always were.
  @Test func goldenRows() throws {
    let root = standInRoot(4711, nodes: 17..<29)
    let list = DeadList([3, 1, 300])
    let text = HexFile.text(of: [root.bytes, list.bytes])
    let file = fixturesFolder.appending(path: "checkpoints").appending(path: "rows.hex")
    let rows = HexFile.entries(in: try golden(text, at: file))
    #expect(rows == [root.bytes, list.bytes])
    list.bytes.withUnsafeBytes { #expect(DeadList($0) == list) }
    root.bytes.withUnsafeBytes { #expect(CheckpointRoot($0, of: testCatalog) == root) }
    #expect(root.bytes.count == CheckpointRoot.byteCount)
  }

  @Test(arguments: testSeeds(count: 100))
  func hostileRowsAreRefused(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var bytes = standInRoot(9, nodes: 5..<6).bytes
    let index = Int.random(in: 0..<bytes.count, using: &generator)
    bytes[index] ^= UInt8.random(in: 1...255, using: &generator)
    bytes.withUnsafeBytes { #expect(CheckpointRoot($0, of: testCatalog) == nil, "seed \(seed)") }
    var list = DeadList([1, 2, 9]).bytes
    list.removeLast(Int.random(in: 1...7, using: &generator))
    list.withUnsafeBytes { #expect(DeadList($0) == nil, "seed \(seed)") }
    let backwards = [UInt8](repeating: 1, count: 8) + [UInt8](repeating: 0, count: 8)
    backwards.withUnsafeBytes { #expect(DeadList($0) == nil) }
  }
}

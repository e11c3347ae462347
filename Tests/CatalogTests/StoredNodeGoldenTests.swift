import Foundation
import TestSupport
import Testing

@testable import Catalog

/// The bytes of stored nodes, format 1, which are read for ever.
@Suite struct StoredNodeGoldenTests {
  /// Routes that show each field of a row, and keys that show prefixes.
  private static func table() throws -> RouteTable {
    var table = RouteTable(in: IndexStore(fanOut: 4))
    let starts = ["", "etc", "usr/share/a", "usr/share/b", "usr/share/common-licenses", "usr/x"]
    let seeds = starts.enumerated().map { index, start in
      RouteSeed(
        id: RouteID(UInt64(index) + 1), start: Key(start),
        group: GroupID(index == 1 ? 0x0102_0304_0506_0708 : UInt64(index % 2)))
    }
    let time = HybridTimestamp(milliseconds: 1_785_312_000_123, counter: 300)
    let regions = [try Region("eu-west"), try Region("us-east")]
    try table.edit(version: CatalogVersion(1), time: HybridTimestamp(0)) {
      editor throws(RouteTableError) in
      try editor.bootstrap(seeds)
    }
    try table.edit(version: CatalogVersion(300), time: time) { editor throws(RouteTableError) in
      try editor.setAllowedRegions(route: RouteID(2), start: Key("etc"), to: regions)
      try editor.setState(route: RouteID(6), start: Key("usr/x"), from: .active, to: .softFailed)
      try editor.split(
        route: RouteID(4), start: Key("usr/share/b"), boundary: Key("usr/share/base"),
        newRoute: RouteID(1000))
    }
    return table
  }

  @Test func nodesHaveTheirGoldenBytes() throws {
    let table = try Self.table()
    let shelf = NodeShelf()
    let root = shelf.store(table)
    let ids = Array(root.written)
    let folder = fixturesFolder.appending(path: "checkpoints")
    let hex = try golden(
      HexFile.text(of: ids.map { Array(shelf.nodes[$0] ?? .init(start: nil, count: 0)) }),
      at: folder.appending(path: "nodes.hex"))
    let trees = zip(["by start", "by id", "by group"], root.trees).map { name, tree in
      "tree \(name) root \(tree.root?.id ?? 0) \(tree.root?.hash.description ?? "-") "
        + "height \(tree.height) entries \(tree.count)\n"
    }
    let routes = table.routes(overlapping: .all).map { EntryText.text(of: $0) + "\n" }
    let text = try golden(
      trees.joined() + routes.joined(),
      at: folder.appending(path: "nodes.txt"))

    let bytes = try #require(HexFile.entries(in: hex))
    #expect(bytes.count == ids.count)
    for (id, bytes) in zip(ids, bytes) {
      #expect(bytes == shelf.nodes[id].map { Array($0) }, "node \(id)")
      shelf.put(bytes, for: id)
    }
    let (loaded, _) = try shelf.load(root, in: IndexStore(fanOut: 4))
    loaded.checkInvariants()
    #expect(
      text.hasSuffix(
        loaded.routes(overlapping: .all).map { EntryText.text(of: $0) + "\n" }.joined()))
    #expect(text.contains(trees.joined()))
  }

  /// Runs the reader in Python, which was written from `FORMAT.md` alone.
  @Test func theIndependentReaderAgrees() throws {
    let folder = fixturesFolder.appending(path: "checkpoints")
    let ended = try ChildProcess(
      URL(filePath: "/usr/bin/env"),
      [
        "python3", folder.appending(path: "read_nodes.py").path,
        folder.appending(path: "nodes.hex").path,
      ]
    ).wait()
    #expect(ended.status == 0, "\(ended.errors)")
    #expect(
      ended.output
        == (try String(contentsOf: folder.appending(path: "nodes.txt"), encoding: .utf8)))
  }
}

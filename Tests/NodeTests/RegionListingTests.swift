import CadastreClient
import Catalog
import EtcdSupport
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Node

/// Region listings of TiKV's placement driver, and catalogs that follow them.
@Suite(.oneEtcd, .timeLimit(.minutes(5))) struct RegionListingTests {
  /// A listing as `pd-ctl region` prints it, of regions with keys in text.
  private static func listing(
    _ regions: [(id: UInt64, start: String, end: String, store: UInt64)]
  ) -> String {
    let rows = regions.map { region in
      """
      {"id": \(region.id), "start_key": "\(hex(region.start))", "end_key": "\(hex(region.end))",
       "epoch": {"conf_ver": 5, "version": 61},
       "peers": [{"id": \(region.id * 10), "store_id": 1, "role_name": "Voter"},
                 {"id": \(region.id * 10 + 1), "store_id": 4, "role_name": "Voter"}],
       "leader": {"id": \(region.id * 10), "store_id": \(region.store), "role_name": "Voter"},
       "cpu_usage": 0, "written_bytes": 0, "read_bytes": 0, "approximate_size": 96}
      """
    }
    return "{\"count\": \(rows.count), \"regions\": [\(rows.joined(separator: ",\n"))]}"
  }

  private static func hex(_ text: String) -> String {
    hexadecimal(Array(text.utf8)).uppercased()
  }

  private func read(_ text: String) throws -> RegionListing {
    try RegionListing(Data(text.utf8), name: "regions.json")
  }

  private static let whole: [(id: UInt64, start: String, end: String, store: UInt64)] = [
    (18, "m", "t", 4), (2, "", "g", 1), (44, "t", "", 1), (16, "g", "m", 5),
  ]

  @Test func regionsComeInAnyOrderAndBecomeRoutes() throws {
    let listing = try read(Self.listing(Self.whole))
    #expect(listing.wasUnordered && listing.gaps.isEmpty)
    let layout = try listing.layout(by: .region, filling: nil)
    #expect(layout.map(\.start) == [.least, Key("g"), Key("m"), Key("t")])
    #expect(layout.map(\.group.rawValue) == [2, 16, 18, 44])
    let byStore = try listing.layout(by: .leaderStore, filling: nil)
    #expect(byStore.map(\.group.rawValue) == [1, 5, 4, 1])
  }

  @Test func gapsAreNamedAndFilledOnRequestOnly() throws {
    let listing = try read(
      Self.listing([(16, "g", "m", 1), (18, "n", "t", 1)]))
    #expect(
      listing.gaps == [
        .init(span: KeySpan(unchecked: .least, Key("g")), after: nil),
        .init(span: KeySpan(unchecked: Key("m"), Key("n")), after: 16),
        .init(span: KeySpan(unchecked: Key("t"), nil), after: 18),
      ])
    let refused = try #require(throws: Problem.self) {
      try listing.layout(by: .region, filling: nil)
    }
    #expect(refused.code == "gaps" && refused.message.contains("3 gaps"))
    #expect(refused.help?.contains("--fill-gaps") == true)
    let filled = try listing.layout(by: .region, filling: GroupID(9))
    #expect(filled.map(\.start) == ["", "g", "m", "n", "t"].map { Key($0) })
    #expect(filled.map(\.group.rawValue) == [9, 16, 9, 18, 9])
  }

  @Test(arguments: [
    (listing([(1, "", "m", 1), (2, "k", "", 1)]), "regions 1 and 2 overlap"),
    (listing([(1, "", "", 1), (2, "k", "", 1)]), "regions 1 and 2 overlap"),
    (listing([(1, "", "m", 1), (1, "m", "", 1)]), "lists region 1 twice"),
    (listing([(1, "m", "a", 1)]), "region 1 ends at"),
    (listing([]), "lists no regions"),
    ("{\"regions\": [{\"id\": 1, \"start_key\": \"xyz\", \"end_key\": \"\"}]}", "not hexadecimal"),
    ("{\"regions\": [{\"id\": 1, \"end_key\": \"\"}]}", "\"start_key\" is missing"),
    ("{\"regions\": 5}", "unexpected kind of value at regions"),
    ("{\"stores\": []}", "\"regions\" is missing"),
    ("[1, 2", "not JSON"), ("", "not JSON"),
  ])
  func whatIsNoListingIsSaid(text: String, complaint: String) throws {
    let problem = try #require(throws: Problem.self) { try read(text) }
    #expect(problem.status == .usage && problem.help != nil)
    #expect(problem.message.contains(complaint), "\(problem.message)")
  }

  @Test func aRegionWithoutALeaderHasNoStore() throws {
    let listing = try read(
      "{\"regions\": [{\"id\": 7, \"start_key\": \"\", \"end_key\": \"\", \"leader\": {}}]}")
    #expect(try listing.layout(by: .region, filling: nil).map(\.group) == [GroupID(7)])
    let problem = try #require(throws: Problem.self) {
      try listing.layout(by: .leaderStore, filling: nil)
    }
    #expect(problem.code == "no-leader" && problem.message.contains("region 7"))
  }

  /// From the command line: a first import, the same again, and a newer one, at a folder and at a
  /// server.
  @Test func aNewerListingBecomesOneVersionOfWhatChanged() async throws {
    try await withTemporaryFolder { folder in
      let log = folder.appending(path: "tikv").path
      func imported(_ text: String, _ arguments: String...) async throws -> CadastreProcess.Ended {
        try await CadastreProcess(
          ["import", "-", "--format", "pd", "--json", "--log", log] + arguments,
          input: Data(text.utf8)
        ).wait()
      }
      let planned = try await imported(Self.listing(Self.whole), "--dry-run")
      #expect(planned.status == 0 && !FileManager.default.fileExists(atPath: log))
      let first = try await imported(Self.listing(Self.whole))
      #expect(first.status == 0, "\(first.errors)")
      #expect(try first.json["version"].number == 1 && first.json["routes"].number == 4)
      let again = try await imported(Self.listing(Self.whole))
      #expect(try again.json["version"].number == 1 && again.json["changed"].bool == false)
      // Region 16 was split at "j"; regions 18 and 44 became one.
      let newer = Self.listing([
        (2, "", "g", 1), (16, "g", "j", 5), (60, "j", "m", 5), (18, "m", "", 4),
      ])
      let second = try await imported(newer)
      #expect(second.status == 0, "\(second.errors)")
      #expect(try second.json["version"].number == 2)
      let entries = try await cadastre("log", "--log", log, "--events", "--from", "2", "--json")
      let events = try #require(try entries.jsonLines.last)["events"].array
      #expect(
        try events.map { try $0["kind"].string }.sorted() == [
          "route-moved", "route-split", "routes-merged",
        ])
      let gaps = try await imported(Self.listing([(2, "a", "g", 1)]))
      #expect(gaps.status == 2)
      #expect(try gaps.error["code"].string == "gaps")
      let state = try await cadastre("routes", "--log", log, "--json")
      #expect(state.output.contains("\"version\":2"), "nothing changed: \(state.output)")
    }
  }

  @Test(arguments: LogKind.allCases) func aServerTakesAListing(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      let imported = try await CadastreProcess(
        ["import", "-", "--format", "pd", "--json", "--server", "\(node.address)"],
        input: Data(Self.listing(Self.whole).utf8)
      ).wait()
      #expect(imported.status == 0, "\(imported.errors)")
      #expect(try await node.client.resolve(Key("n")).value.group == GroupID(18))
    }
  }
}

import CadastreClient
import Catalog
import Foundation
import Testing

@testable import Node

@Suite struct OutputTests {
  @Test func tableAligns() {
    var table = TextTable(.left("KEY"), .right("GROUP"), .left("END"))
    table.add("\"a\"", "7", "x")
    table.add("\"longer\"", "12,000", "")
    #expect(
      table.text() == """
        KEY        GROUP  END
        "a"            7  x
        "longer"  12,000

        """)
  }

  @Test func factsAlign() {
    var facts = FactList()
    facts.add("version", 3)
    facts.add("head hash", "ab")
    #expect(facts.text() == "version    3\nhead hash  ab\n")
  }

  @Test func jsonKeepsOrderAndAllBits() throws {
    let json: JSON = [
      "z": .number(.max), "a": ["x\"\\\n\u{1}", .null, .bool(false)], "d": .decimal(1.23456),
      "n": .decimal(.infinity),
    ]
    #expect(
      json.description
        == #"{"z":18446744073709551615,"a":["x\"\\\n\u0001",null,false],"d":1.235,"n":null}"#)
    _ = try JSONSerialization.jsonObject(with: Data(json.description.utf8))
  }

  @Test func keysInJSONSayTheirBytesWhereTheTextIsEscaped() throws {
    #expect(
      JSON.object(JSON.fields("key", try Key("usr/ü".utf8))).description == #"{"key":"usr/ü"}"#)
    #expect(
      JSON.object(JSON.fields("key", try Key([0x5C, 0xFF]))).description
        == #"{"key":"\\\\\\xff","key_hex":"5cff"}"#)
  }

  @Test func problemsReadWell() {
    let problem = Problem(
      .refused, code: "stale-version", "it changed", help: "look again",
      details: [("version", .number(9))])
    #expect(problem.text() == "error: it changed\nhelp: look again\n")
    #expect(
      problem.json.description == """
        {"error":{"code":"stale-version","message":"it changed","help":"look again",\
        "exit_status":4,"details":{"version":9}}}
        """)
  }

  @Test func stampsSayHowStaleAnAnswerIs() {
    func text(_ staleness: Duration?, _ place: CatalogOptions.Place) -> String {
      ReadStamp(version: CatalogVersion(7), servedAtMilliseconds: 1, staleness: staleness)
        .text(at: place)
    }
    let server = CatalogOptions.Place.server(
      NodeAddress(host: "h", port: 1), ConnectionOptions())
    #expect(text(.zero, server) == "at version 7")
    #expect(text(.milliseconds(440), server) == "at version 7, 440 ms stale at most")
    #expect(text(nil, server) == "at version 7, staleness unknown")
    #expect(text(nil, .folder("f")) == "at version 7")
  }

  @Test func whatIsWrongWithALogIsInTheStatus() throws {
    let hash = try #require(EntryHash(bytes: Array(repeating: 0, count: EntryHash.byteCount)))
    var status = CatalogStatus(
      catalog: testCatalog, version: CatalogVersion(1), position: LogPosition(1),
      firstPosition: LogPosition(1), routeCount: 1, digest: .zero, headHash: hash,
      lastTime: .zero)
    #expect(!status.text(style: .plain).contains("condition"))
    #expect(status.json.description.contains(#""condition":null"#))
    status.condition = "entry 7 is damaged"
    #expect(status.text(style: .plain).contains("condition    entry 7 is damaged\n"))
    #expect(status.json.description.contains(#""condition":"entry 7 is damaged""#))
    #expect(status.json.description.contains(#""warnings":[]"#))
    status.warnings = ["the checkpoint of version 3 is damaged"]
    #expect(
      status.text(style: .plain).contains("warning      the checkpoint of version 3 is damaged\n"))
  }

  @Test func progressLines() {
    let line = ProgressBar.line(
      label: "replaying", unit: "entries", done: 500, total: 2000, elapsed: .seconds(1),
      barWidth: 8)
    #expect(line == "replaying [##......] 25 %, 500 of 2,000 entries, 500/s, 3 s left")
    #expect(
      ProgressBar.line(
        label: "reading", unit: "keys", done: 1_500_000, total: nil, elapsed: .seconds(2),
        barWidth: 0) == "reading: 1,500,000 keys, 750 k/s")
    // More than was foretold, and nothing yet.
    #expect(
      ProgressBar.line(
        label: "x", unit: "y", done: 30, total: 20, elapsed: .seconds(1), barWidth: 4)
        == "x [####] 100 %, 30 of 20 y, 30/s")
    #expect(
      ProgressBar.line(label: "x", unit: "y", done: 0, total: 20, elapsed: .zero, barWidth: 4)
        == "x [....] 0 %, 0 of 20 y")
  }

  @Test(arguments: [
    (0, "0"), (999, "999"), (1000, "1,000"), (-1234567, "-1,234,567"), (120_000, "120,000"),
  ])
  func thousandsAreSetOff(number: Int, text: String) { #expect(grouped(number) == text) }

  @Test(arguments: [
    (0.0, "0"), (999.4, "999"), (2_234, "2.23 k"), (716_123, "716 k"), (1_240_000, "1.24 M"),
  ])
  func ratesAreShort(rate: Double, text: String) { #expect(shortened(rate) == text) }

  @Test func timesAreReadable() {
    #expect(
      HybridTimestamp(milliseconds: 1_785_312_000_007).text == "2026-07-29 08:00:00.007")
    #expect(HybridTimestamp.zero.text == "1970-01-01 00:00:00.000")
  }

  @Test(arguments: [
    ("500ms", 500), ("3s", 3_000), ("1.5s", 1_500), ("2m", 120_000), ("1h", 3_600_000),
  ])
  func durations(text: String, milliseconds: Int) throws {
    #expect(try parseDuration(text) == .milliseconds(milliseconds))
  }

  @Test(arguments: ["", "5", "ms", "-1s", "nans", "1e300h", "3 parsecs", "infs"])
  func badDurations(text: String) { #expect(throws: (any Error).self) { try parseDuration(text) } }
}

import Catalog
import Foundation
import TestSupport
import Testing

/// The bytes of version 1, which are read for ever. `CADASTRE_REGENERATE=1` writes the files anew;
/// a change of files that were once released is a change of the format.
@Suite struct LogEntryGoldenTests {
  @Test func entriesHaveTheirGoldenBytes() throws {
    for (name, entry) in try GoldenEntries.all() {
      let encoded = try EncodedEntry(entry)
      let folder = fixturesFolder.appending(path: "golden")
      let hex = try golden(
        HexFile.text(of: [encoded.bytes]), at: folder.appending(path: "\(name).hex"))
      let text = try golden(
        EntryText.text(of: encoded), at: folder.appending(path: "\(name).txt"))

      let bytes = try #require(HexFile.entries(in: hex)?.first, "\(name)")
      #expect(bytes == encoded.bytes, "\(name)")
      let decoded = try EncodedEntry(decoding: bytes)
      #expect(decoded.entry == entry, "\(name)")
      #expect(decoded.hash == encoded.hash, "\(name)")
      #expect(EntryText.text(of: decoded) == text, "\(name)")
    }
  }

  @Test func eachKindOfEventIsThere() throws {
    var kinds: Set<String> = []
    for (_, entry) in try GoldenEntries.all() {
      kinds.formUnion(
        entry.events.compactMap { EntryText.lines(of: $0).first?.prefix { $0 != " " } }
          .map(String.init))
    }
    #expect(
      kinds == [
        "bootstrap", "split", "merge", "move", "state", "regions", "commitment", "trim", "led",
        "raised", "retired", "departed", "arrived", "begun", "decided", "enable", "join", "leave",
        "report", "home", "prefer", "policy", "suspect", "clear", "lose", "sweep", "recover",
        "return", "claim",
      ])
  }

  @Test func headersAreReadAlone() throws {
    for (name, entry) in try GoldenEntries.all() {
      let bytes = try entry.encoded()
      let header = try LogEntryHeader(decoding: bytes)
      #expect(header.stream == entry.stream, "\(name)")
      #expect(header.position == entry.position, "\(name)")
      #expect(header.previous == entry.previous, "\(name)")
      #expect(header.time == entry.time, "\(name)")
      #expect(header.version == entry.version, "\(name)")
      #expect(header.digest == entry.digest, "\(name)")
      #expect(header.command == entry.command, "\(name)")
      #expect(header.actor == entry.actor, "\(name)")
      #expect(header.reason == entry.reason, "\(name)")
      #expect(header.eventCount == entry.events.count, "\(name)")
    }
  }

  @Test func bytesThatSomebodyElseKeepsAreDecodedToo() throws {
    for (name, entry) in try GoldenEntries.all() {
      let encoded = try EncodedEntry(entry)
      let decoded = try encoded.bytes.withUnsafeBytes { try EncodedEntry(decoding: $0) }
      #expect(decoded == encoded, "\(name)")
      #expect(decoded.entry == entry, "\(name)")
    }
  }
}

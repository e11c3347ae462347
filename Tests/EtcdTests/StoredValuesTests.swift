import Catalog
@testable import Etcd
import Foundation
import Replay
import SwiftProtobuf
import TestSupport
import Testing

/// What is kept in etcd is read by later versions: its bytes do not change.
@Suite struct StoredValuesTests {
  private static func name(_ text: String) throws -> MemberName { try MemberName(text) }

  private func values() throws -> [(String, [UInt8])] {
    let entries = try StreamEntries.make(count: 2, width: 1)
    let tail = LogTail(entries[1])
    let append = Cadastre_Etcd_V1_StoredAppend.with {
      $0.entries = entries.map { Data($0.bytes) }
      $0.tail = StoredValues.wire(tail, total: 700)
    }
    let manifest = Cadastre_Etcd_V1_StoredAppend.with {
      $0.pieces = 3
      $0.pieceSet = "17-2"
      $0.byteCount = 2_500_000
      $0.sha256 = StoredValues.sha256(Data([1, 2, 3]))
      $0.tail = StoredValues.wire(tail, total: 2_500_000)
    }
    let trim = Cadastre_Etcd_V1_StreamTrim.with { $0.through = StoredValues.wire(tail, total: 9) }
    let member = ClusterMember(name: try Self.name("tokyo-1"), address: "10.0.0.1:7070")
    return [
      ("meta", Array(try StoredValues.meta(StreamEntries.catalog, after: tail))),
      ("tail", Array(try StoredValues.encode(StoredValues.wire(tail, total: 700)))),
      ("append", Array(try StoredValues.encode(append))),
      ("manifest", Array(try StoredValues.encode(manifest))),
      ("trimmed", Array(try StoredValues.encode(trim))),
      ("leader", Array(try StoredValues.member(member))),
      ("member", Array(try StoredValues.member(member, storedThrough: LogPosition(4711)))),
    ]
  }

  @Test func theBytesAreThoseOfTheFixture() throws {
    let text = try values().map { "# \($0.0)\n" + HexFile.text(of: [$0.1]) }
      .joined(separator: "\n")
    let file = fixturesFolder.appending(path: "etcd/values.hex")
    if regeneratesFixtures {
      try FileManager.default.createDirectory(
        at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: file)
    }
    #expect(try String(contentsOf: file, encoding: .utf8) == text)
  }

  @Test func whatIsReadIsWhatWasWritten() throws {
    let entries = try StreamEntries.make(count: 5, width: 2)
    let append = Cadastre_Etcd_V1_StoredAppend.with {
      $0.entries = entries.map { Data($0.bytes) }
    }
    #expect(try StoredValues.entries(append) == entries)
    let meta = try StoredValues.meta(StreamEntries.catalog, after: LogTail(entries[4]))
    #expect(try StoredValues.catalog(meta) == StreamEntries.catalog)
    let tail = LogTail(entries[3])
    #expect(try StoredValues.tail(StoredValues.wire(tail)) == tail)
  }

  /// Whatever somebody else wrote there: an error, and no trap.
  @Test func damagedValuesAreErrors() throws {
    for seed in UInt64(1)...200 {
      var generator = SeededGenerator(seed: seed)
      for (name, bytes) in try values() {
        var damaged = bytes
        for _ in 0..<Int.random(in: 1...4, using: &generator) {
          damaged[Int.random(in: 0..<damaged.count, using: &generator)] =
            UInt8.random(in: 0...255, using: &generator)
        }
        let data = Data(damaged.prefix(Int.random(in: 0...damaged.count, using: &generator)))
        do throws(SharedStreamError) {
          switch name {
          case "meta": _ = try StoredValues.catalog(data)
          case "leader", "member": _ = try StoredValues.progress(data)
          case "append", "manifest":
            _ = try StoredValues.entries(
              StoredValues.decode(Cadastre_Etcd_V1_StoredAppend.self, data, name))
          default:
            _ = try StoredValues.tail(
              StoredValues.decode(Cadastre_Etcd_V1_StreamTail.self, data, name))
          }
        } catch {
          guard case .damaged = error else {
            Issue.record("seed \(seed): \(error)")
            continue
          }
        }
      }
    }
  }

  @Test func aNewerFormatIsRefused() throws {
    let meta = Cadastre_Etcd_V1_StreamMeta.with {
      $0.format = 2
      $0.catalog = Data(StreamEntries.catalog.bytes)
    }
    let bytes = try StoredValues.encode(meta)
    #expect(throws: SharedStreamError.self) { try StoredValues.catalog(bytes) }
  }

  @Test func keysSortAsPositionsDo() {
    let keys = StreamKeys(prefix: "/cadastre/a/catalog/")
    let positions: [UInt64] = [1, 9, 10, 255, 256, 1 << 40, .max]
    let sorted = positions.map { keys.append(LogPosition($0)) }
    #expect(zip(sorted, sorted.dropFirst()).allSatisfy { $0.lexicographicallyPrecedes($1) })
    #expect(
      String(decoding: keys.append(LogPosition(300)), as: UTF8.self)
        == "/cadastre/a/catalog/b/000000000000012c")
  }
}

import CadastreClient
import CadastreProtocol
import Catalog
import SwiftProtobuf
import TestSupport
import Testing

@testable import Node

@Suite struct SharedDeltasTests {
  private func key(_ version: UInt64, era: Int = 0, _ filter: WatchFilter = .all)
    -> SharedDeltas.Key
  {
    SharedDeltas.Key(era: era, after: CatalogVersion(version), filter: filter)
  }

  private func deltas(to version: UInt64, keyByteCount: Int = 10) throws -> DeltaMessages {
    let route = Route(
      id: RouteID(version), span: KeySpan(unchecked: Key(unchecked: [0x61]), nil),
      group: GroupID(1), allowedRegions: [], version: CatalogVersion(version),
      changedAt: HybridTimestamp(version))
    var packer = DeltaPacker(byteCount: 1 << 20)
    let count = max(1, keyByteCount / 10)
    try packer.add(
      RouteDelta(
        from: CatalogVersion(version - 1), to: CatalogVersion(version), removed: [],
        upserted: Array(repeating: route, count: count)))
    return DeltaMessages(
      through: CatalogVersion(version), messages: try packer.finish(), isFull: true)
  }

  @Test func whoHasTheSameAndWatchesTheSameFindsIt() throws {
    let shared = SharedDeltas()
    let deltas = try deltas(to: 5)
    shared.insert(deltas, for: key(4))
    #expect(shared[key(4)] === deltas)
    #expect(shared[key(3)] == nil)
    #expect(shared[key(4, era: 1)] == nil)
    #expect(shared[key(4, .group(GroupID(1)))] == nil)
  }

  @Test func whatIsKeptIsBounded() throws {
    let shared = SharedDeltas(maximumCount: 8, maximumByteCount: 4000)
    for version in UInt64(1)...100 {
      shared.insert(try deltas(to: version, keyByteCount: 200), for: key(version - 1))
      #expect(shared.keptByteCount <= 4000)
    }
    #expect(shared[key(99)] != nil)
    #expect(shared[key(90)] == nil)
  }

  @Test func largeOnesAreThereForAsLongAsSomebodySendsThem() throws {
    let shared = SharedDeltas(maximumCount: 8, maximumByteCount: 1000)
    var large: DeltaMessages? = try deltas(to: 5, keyByteCount: 5000)
    let byteCount = try #require(large).byteCount
    #expect(byteCount > 1000)
    if let large { shared.insert(large, for: key(4)) }
    #expect(shared[key(4)]?.byteCount == byteCount)
    #expect(shared.keptByteCount == 0)
    large = nil
    #expect(shared[key(4)] == nil)
  }

  /// Whatever the sizes, what is packed is what was put in, each version whole and in order.
  @Test(arguments: testSeeds(count: 4)) func packingLosesNothing(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var packer = DeltaPacker(byteCount: Int.random(in: 50...400, using: &generator))
    var expected: [RouteDelta] = []
    for version in UInt64(2)...40 {
      let upserted = (0..<Int.random(in: 0...6, using: &generator)).map { index in
        Route(
          id: RouteID(UInt64(index) + 1),
          span: KeySpan(unchecked: .random(length: 0...9, using: &generator), nil),
          group: GroupID(1), allowedRegions: [], version: CatalogVersion(version),
          changedAt: HybridTimestamp(version))
      }
      let removed = (0..<Int.random(in: 0...9, using: &generator)).map {
        RouteID(UInt64($0) + 100)
      }
      let delta = RouteDelta(
        from: CatalogVersion(version - 1), to: CatalogVersion(version), removed: removed,
        upserted: upserted)
      expected.append(delta)
      try packer.add(delta)
    }
    var reader = WatchReader()
    _ = try reader.events(
      in: .with {
        $0.started.catalogID = .init(testCatalog.bytes)
        $0.started.version = 1
      })
    var found: [RouteDelta] = []
    for message in try packer.finish() {
      let message = try Wire.WatchResponse(serializedBytes: message.bytes)
      for case .delta(let delta) in try reader.events(in: message) { found.append(delta) }
    }
    #expect(found == expected, "seed \(seed)")
  }
}

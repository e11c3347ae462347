import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import StateMachines
import SwiftProtobuf
import TestSupport
import Testing

@testable import Node

@Suite struct WireTests {
  @Test func routesComeBackAsTheyWere() throws {
    for seed in testSeeds(count: 50) {
      var generator = SeededGenerator(seed: seed)
      let keys = Key.randomSet(count: 2, using: &generator)
      let route = Route(
        id: RouteID(.random(in: 1 ... .max, using: &generator)),
        span: try KeySpan(keys[0], Bool.random(using: &generator) ? keys[1] : nil),
        group: GroupID(.random(in: 0 ... .max, using: &generator)),
        state: try #require(RouteState.allCases.randomElement(using: &generator)),
        parent: Bool.random(using: &generator)
          ? RouteID(.random(in: 1 ... .max, using: &generator)) : nil,
        allowedRegions: Bool.random(using: &generator)
          ? try [Region("eu-west"), Region("us-east")] : [],
        version: CatalogVersion(.random(in: 0 ... .max, using: &generator)),
        changedAt: HybridTimestamp(.random(in: 0 ... .max, using: &generator)))
      let bytes: [UInt8] = try Wire.Route(route).serializedBytes()
      #expect(try Wire.Route(serializedBytes: bytes).value() == route, "seed \(seed)")
    }
  }

  @Test func malformedRoutesAreRefused() {
    let good = Wire.Route.with {
      $0.id = 1
      $0.state = .active
    }
    #expect(throws: Never.self) { try good.value() }
    var noState = good
    noState.state = .unspecified
    var empty = good
    empty.end = Data()
    var long = good
    long.start = Data(repeating: 1, count: 5000)
    var region = good
    region.allowedRegions = ["Not A Region"]
    for route in [noState, empty, long, region] {
      #expect(throws: MalformedMessage.self) { try route.value() }
    }
  }

  @Test func pageTokensComeBackAsTheyWere() throws {
    for seed in testSeeds(count: 50) {
      var generator = SeededGenerator(seed: seed)
      let cursors: [PageToken.Cursor] = [
        .key(.random(using: &generator)), .id(RouteID(generator.next())),
        .offset(.random(in: 0...10_000, using: &generator)),
      ]
      for cursor in cursors {
        let token = PageToken(
          version: CatalogVersion(generator.next()), selector: generator.next(), cursor: cursor)
        #expect(try PageToken(data: token.data) == token, "seed \(seed)")
      }
    }
  }

  @Test func junkIsNoPageToken() throws {
    for seed in testSeeds(count: 200) {
      var generator = SeededGenerator(seed: seed)
      var bytes = Key.random(length: 0...40, using: &generator).bytes
      if !bytes.isEmpty, Bool.random(using: &generator) { bytes[0] = 1 }
      // Either it is refused or it is what it says it is; it never traps.
      if let token = try? PageToken(data: Data(bytes)) { #expect(token.data == Data(bytes)) }
    }
  }

  @Test func addressesAreRead() throws {
    #expect(try NodeAddress("127.0.0.1:7070") == NodeAddress(host: "127.0.0.1", port: 7070))
    #expect(try NodeAddress("[::1]:80") == NodeAddress(host: "::1", port: 80))
    #expect("\(try NodeAddress("[::1]:80"))" == "[::1]:80")
    for text in ["", "host", ":80", "host:", "host:99999", "::1:80", "host:-1"] {
      #expect(throws: MalformedMessage.self) { try NodeAddress(text) }
    }
    for (text, isLoopback) in [
      ("127.0.0.1:1", true), ("127.9.9.9:1", true), ("localhost:1", true), ("[::1]:1", true),
      ("0.0.0.0:1", false), ("10.0.0.1:1", false), ("127.evil.example.com:1", false),
      ("[::]:1", false),
    ] {
      #expect(try NodeAddress(text).isLoopback == isLoopback)
    }
  }

  @Test func onlyTheLoopbackIsListenedOnUnlessAllowed() throws {
    var configuration = NodeConfiguration(
      role: .leader, folder: "", listen: NodeAddress(host: "0.0.0.0", port: 0))
    #expect(throws: NodeError.self) { try configuration.check() }
    configuration.allowInsecureBind = true
    #expect(throws: Never.self) { try configuration.check() }
  }

  @Test func timeoutsAreRead() {
    func read(_ text: String) -> Duration? {
      (["grpc-timeout": .string(text)] as Metadata).callTimeout
    }
    #expect(read("5S") == .seconds(5))
    #expect(read("250m") == .milliseconds(250))
    #expect(read("1H") == .seconds(3600))
    for text in ["", "S", "5", "-5S", "5x", "99999999999S"] { #expect(read(text) == nil) }
  }

  @Test func durationsAreNotToldShorterThanTheyAre() {
    #expect(Duration.microseconds(1).wholeMilliseconds == 1)
    #expect(Duration.milliseconds(1500).wholeMilliseconds == 1500)
    #expect(Duration.seconds(-1).wholeMilliseconds == 0)
    #expect(Duration(boundedMilliseconds: .max).wholeMilliseconds == 3_155_760_000_000)
  }

  @Test func aWatchDoesNotSkipAVersion() throws {
    var reader = WatchReader()
    _ = try reader.events(
      in: .with {
        $0.started.catalogID = Data(testCatalog.bytes)
        $0.started.version = 4
      })
    let gap = Wire.WatchResponse.with { $0.deltas.deltas = [.with { $0.version = 6 }] }
    #expect(throws: MalformedMessage.self) { _ = try reader.events(in: gap) }
    let part = Wire.WatchResponse.with {
      $0.deltas.deltas = [
        .with {
          $0.version = 5
          $0.removedIds = [1]
          $0.partial = true
        }
      ]
    }
    #expect(try reader.events(in: part).isEmpty)
    let rest = Wire.WatchResponse.with {
      $0.deltas.deltas = [
        .with {
          $0.version = 5
          $0.removedIds = [2]
        }
      ]
    }
    guard case .delta(let delta)? = try reader.events(in: rest).first else {
      Issue.record("the version is whole")
      return
    }
    #expect(delta.removed == [RouteID(1), RouteID(2)])
    #expect(delta.from == CatalogVersion(4))
  }

  @Test func theLastNumberThatThereIsEndsAWatchWithAnError() throws {
    var reader = WatchReader()
    _ = try reader.events(
      in: .with {
        $0.started.catalogID = Data(testCatalog.bytes)
        $0.started.version = .max
      })
    for version in [0, UInt64.max] {
      let delta = Wire.WatchResponse.with { $0.deltas.deltas = [.with { $0.version = version }] }
      #expect(throws: MalformedMessage.self) { _ = try reader.events(in: delta) }
    }
  }

  @Test func pausesGrowAndDiffer() {
    var backoff = Backoff(first: .milliseconds(100), maximum: .seconds(1))
    var generator = SeededGenerator(seed: 1)
    let pauses = (0..<12).map { _ in backoff.next(using: &generator) }
    #expect(pauses.allSatisfy { $0 >= .milliseconds(50) && $0 <= .seconds(1) })
    #expect(pauses[11] >= .milliseconds(500))
    #expect(Set(pauses).count == 12)
    backoff.reset()
    #expect(backoff.next(using: &generator) <= .milliseconds(100))
  }
}

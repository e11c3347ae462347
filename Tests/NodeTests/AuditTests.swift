import CadastreClient
import CadastreProtocol
import Catalog
import EtcdSupport
import Foundation
import GRPCCore
import Replay
import StateMachines
import Synchronization
import TestSupport
import Testing

@testable import Node

/// Questions about the past over real gRPC, against what the node's own versions were.
@Suite(.oneEtcd, .timeLimit(.minutes(5))) struct AuditTests {
  /// What an answer was made of.
  private struct Taken<Element: Sendable>: Sendable {
    var points: [AuditPoint] = []
    var elements: [Element] = []
    var summary: DiffSummary?
    var isCut = false
    var pageCount = 0
  }

  /// Gathers the pieces of an answer.
  private func take<Element: Sendable>(
    _ ask: (@escaping NodeClient.AuditHandler<Element>) async throws -> Void
  ) async throws -> Taken<Element> {
    let taken = Mutex(Taken<Element>())
    try await ask { piece in
      taken.withLock { taken in
        switch piece {
        case .point(let point): taken.points.append(point)
        case .elements(let elements):
          taken.elements += elements
          taken.pageCount += 1
        case .summary(let summary): taken.summary = summary
        case .cut: taken.isCut = true
        }
      }
      return true
    }
    return taken.withLock { $0 }
  }

  /// Random changes; the routes at each version, from the empty one on. With `checkpoints` some of
  /// the versions have one.
  private func change(
    _ node: TestNode, count: Int, checkpoints: Bool = false
  ) async throws -> [RouteTable] {
    var tables = [RouteTable()]
    try await node.client.submit(.test(bootstrap("g", "p")))
    var maker = ChangeMaker(generator: SeededGenerator(seed: 5))
    tables.append(node.core.store.current.routes)
    while tables.count <= count {
      let change = maker.next(node.core.store.current.routes)
      let receipt = try await node.client.submit(.test(change))
      guard receipt.outcome == .appended else { continue }
      tables.append(node.core.store.current.routes)
      if checkpoints, tables.count.isMultiple(of: 12) {
        _ = try await node.core.store.checkpointNow()
      }
    }
    return tables
  }

  @Test(arguments: LogKind.allCases) func proofsComeOverTheWire(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.limits.messageByteCount = 100
    } _: { node in
      let tables = try await change(node, count: 30, checkpoints: true)
      let key = Key("h")
      for version in [1, 14, 30] {
        let asOf = AsOf.version(CatalogVersion(UInt64(version)))
        let (proof, proven) = try await node.client.auditProof(of: key, asOf: asOf)
        #expect(proven.route == tables[version].route(containing: key))
        let extent = try await node.client.auditExtent(hashAt: proven.head)
        #expect(extent.hash == proven.headHash)
        let head = try #require(extent.hash)
        #expect(try RouteProof.check(try proof.encoded(), head: head).key == key)
      }
      let head = try await node.client.auditProof(
        of: key, asOf: .version(CatalogVersion(3)), head: LogPosition(9))
      #expect(head.proven.head == LogPosition(9))
      for (version, position, reason) in [
        (0, nil, "no_routes"), (999, nil, "version_in_future"), (5, LogPosition(999), "bad_head"),
        (20, LogPosition(2), "bad_head"),
      ] as [(UInt64, LogPosition?, String)] {
        await #expect {
          _ = try await node.client.auditProof(
            of: key, asOf: .version(CatalogVersion(version)), head: position)
        } throws: {
          ($0 as? NodeError)?.detail?.code == reason
        }
      }
    }
  }

  @Test(arguments: LogKind.allCases)
  func everyVersionAnswersAsItDidThen(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.store.historyCapacity = 4
      $0.limits.messageByteCount = 200
    } _: { node in
      let tables = try await change(node, count: 40, checkpoints: true)
      for version in [1, 2, 17, 39, 40] {
        let (table, asOf) = (tables[version], AsOf.version(CatalogVersion(UInt64(version))))
        let all = try await take { try await node.client.auditAt(.span(.all), asOf: asOf, $0) }
        #expect(all.elements == table.routes(overlapping: .all))
        #expect(all.points.map(\.version.rawValue) == [UInt64(version)])
        if table.count > 8 { #expect(all.pageCount > 1) }
        let some = try await take {
          try await node.client.auditAt(.span(.all), asOf: asOf, limit: 2, $0)
        }
        #expect(some.elements == table.routes(overlapping: .all, limit: 2))
        let keys = ["", "a", "h", "zz"].map { Key($0) }
        let held = try await take { try await node.client.auditAt(.keys(keys), asOf: asOf, $0) }
        #expect(held.elements == keys.compactMap { table.route(containing: $0) })
        let group = try await take {
          try await node.client.auditAt(.group(GroupID(2)), asOf: asOf, $0)
        }
        #expect(group.elements == table.routes(of: GroupID(2)))
        let ids = try await take {
          try await node.client.auditAt(.ids([RouteID(3), RouteID(1)]), asOf: asOf, $0)
        }
        #expect(
          ids.elements == [RouteID(1), RouteID(3)].compactMap { table.route(id: $0) })
        let time = try #require(all.points.first?.time)
        let then = try await take {
          try await node.client.auditAt(.span(.all), asOf: .time(time), $0)
        }
        #expect(then.points == all.points)
        #expect(then.elements == all.elements)
        let blamed = try await take { try await node.client.auditBlame(.all, asOf: asOf, $0) }
        #expect(blamed.elements.map(\.route) == all.elements)
        #expect(
          blamed.elements.allSatisfy {
            $0.stamp?.version == $0.route.version && $0.stamp?.actor == "test"
          })
      }
    }
  }

  @Test(arguments: LogKind.allCases) func differencesAndHistories(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.store.historyCapacity = 4
      $0.limits.messageByteCount = 200
    } _: { node in
      let tables = try await change(node, count: 40, checkpoints: true)
      let (old, new) = (tables[5], tables[30])
      let (from, to) = (AsOf.version(CatalogVersion(5)), AsOf.version(CatalogVersion(30)))
      let diff = try await take { try await node.client.auditDiff(from: from, to: to, $0) }
      #expect(diff.points.map(\.version.rawValue) == [5, 30])
      let ids = Set((old.routes(overlapping: .all) + new.routes(overlapping: .all)).map(\.id))
      let expected = ids.sorted().filter { old.route(id: $0) != new.route(id: $0) }
      #expect(diff.elements.map(\.id) == expected)
      #expect(diff.elements.map(\.before) == expected.map { old.route(id: $0) })
      #expect(diff.elements.map(\.after) == expected.map { new.route(id: $0) })
      let sums = try await take {
        try await node.client.auditDiff(from: from, to: to, onlySummary: true, $0)
      }
      #expect(sums.elements.isEmpty)
      #expect(sums.summary == diff.summary)
      let summary = try #require(diff.summary)
      #expect(summary.added + summary.removed + summary.changed == UInt64(expected.count))

      let key = Key("h")
      let history = try await take {
        try await node.client.auditHistory(of: .key(key), asOf: .newest, $0)
      }
      let changes = (1...40).reversed().filter {
        tables[$0].route(containing: key) != tables[$0 - 1].route(containing: key)
      }
      #expect(history.elements.map(\.stamp.version.rawValue) == changes.map { UInt64($0) })
      #expect(history.elements.last?.kinds == [.bootstrap])
      #expect(!history.isCut)
      let two = try await take {
        try await node.client.auditHistory(of: .key(key), asOf: .newest, limit: 2, $0)
      }
      #expect(two.elements == Array(history.elements.prefix(2)))
      for scope in [
        HistoryScope.group(GroupID(1)), .span(.all), .route(RouteID(1), ancestors: true),
      ] {
        let history = try await take {
          try await node.client.auditHistory(of: scope, asOf: from, $0)
        }
        #expect(history.elements.last?.kinds == [.bootstrap], "\(scope)")
        #expect((history.elements.first?.stamp.version.rawValue ?? 9) <= 5, "\(scope)")
      }
    }
  }

  @Test(arguments: LogKind.allCases) func theLogIsFilteredAndFollowed(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.limits.messageByteCount = 200
    } _: { node in
      _ = try await change(node, count: 30)
      let all = try await take { try await node.client.auditLog(LogBounds(), LogFilter(), $0) }
      #expect(all.elements.map(\.entry.position.rawValue) == Array(1...30))
      // The chain can be followed by whoever asked.
      for (entry, next) in zip(all.elements, all.elements.dropFirst()) {
        #expect(next.entry.previous == entry.hash)
      }
      #expect(all.elements.last?.hash == node.core.store.current.lastHash)
      let filter = LogFilter.with { $0.kinds = [.move] }
      let moves = try await take {
        try await node.client.auditLog(LogBounds(), filter, newestFirst: true, $0)
      }
      #expect(
        moves.elements
          == all.elements.reversed().filter { encoded in
            encoded.entry.events.contains { EventKind($0) == .move }
          })
      let seen = Mutex<[UInt64]>([])
      let client = node.client
      let following = Task {
        var bounds = LogBounds()
        bounds.firstPosition = LogPosition(29)
        try await client.auditLog(bounds, follow: true) { piece in
          guard case .elements(let entries) = piece else { return true }
          return seen.withLock { seen in
            seen += entries.map(\.entry.position.rawValue)
            return seen.count < 4
          }
        }
      }
      try await until { seen.withLock { $0.count == 2 } }
      try await client.submit(.test(split("q1")))
      try await client.submit(.test(split("q2")))
      try await following.value
      #expect(seen.withLock { $0 } == [29, 30, 31, 32])
    }
  }

  @Test(arguments: LogKind.allCases)
  func anEntryTooLargeForAMessageComesWhole(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.limits.messageByteCount = 4096
    } _: { node in
      try await node.client.submit(.test(oneRoute))
      let keys = (0..<2000).map { SplitRequest(at: Key("key \($0)")) }
      try await node.client.submit(.test(.split(keys)))
      try await node.client.submit(.test(split("z")))
      let all = try await take { try await node.client.auditLog(LogBounds(), LogFilter(), $0) }
      #expect(all.elements.map(\.entry.events.count) == [1, 2000, 1])
      #expect(all.elements.last?.hash == node.core.store.current.lastHash)
    }
  }

  @Test(arguments: LogKind.allCases) func refusalsNameWhatThereIs(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(oneRoute))
      let future = await refusal {
        try await take {
          try await node.client.auditAt(
            .keys([Key("a")]), asOf: .version(CatalogVersion(7)), $0)
        }
      }
      #expect(future?.reason == "version_in_future")
      #expect(future?.detail?.catalogVersion == 1)
      let early = await refusal {
        try await take {
          try await node.client.auditAt(.keys([Key("a")]), asOf: .version(.zero), $0)
        }
      }
      #expect(early?.reason == "no_routes")
      let none = await refusal {
        try await take {
          try await node.client.auditHistory(
            of: .route(RouteID(9), ancestors: true), asOf: .newest, $0)
        }
      }
      #expect(none?.reason == "no_such_route")
      let many = await refusal {
        try await take {
          try await node.client.auditAt(
            .keys(Array(repeating: Key("a"), count: 10_001)), asOf: .newest, $0)
        }
      }
      #expect(many?.code == .invalidArgument)
      let late = await refusal {
        try await take {
          try await node.client.auditLog(follow: true, deadline: .milliseconds(50), $0)
        }
      }
      #expect(late?.code == .deadlineExceeded)
    }
  }

  @Test(arguments: LogKind.allCases)
  func tooManyQuestionsAtOnceAreRefused(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.limits.auditsAtOnce = 1
    } _: { node in
      try await node.client.submit(.test(oneRoute))
      let client = node.client
      let isThere = Mutex(false)
      let following = Task {
        try await client.auditLog(follow: true) { _ in
          isThere.withLock { $0 = true }
          return true
        }
      }
      try await until { isThere.withLock { $0 } }
      let second = await refusal {
        try await take { try await client.auditLog(LogBounds(), LogFilter(), $0) }
      }
      #expect(second?.reason == "overloaded")
      following.cancel()
      _ = await following.result
      // The place is free once the node has heard that the caller is gone.
      try await until {
        await refusal { try await take { try await client.auditLog(LogBounds(), LogFilter(), $0) } }
          == nil
      }
    }
  }

  @Test(arguments: LogKind.allCases) func aLearnerAnswersFromItsOwnLog(log: LogKind) async throws {
    let folder = TemporaryFolder()
    let leader = try await TestNode.leader(folder, on: log)
    try await withNode(leader) { leader in
      let learner = try await TestNode(
        .learner(of: leader.address), folder: folder.appending("learner"))
      try await withNode(learner) { learner in
        let tables = try await change(leader, count: 20)
        // What the learner has yet to reach is waited for.
        let newest = AsOf.version(CatalogVersion(20))
        let there = try await take {
          try await learner.client.auditAt(.span(.all), asOf: newest, $0)
        }
        #expect(there.elements == tables[20].routes(overlapping: .all))
        let extent = try await leader.client.auditExtent(hashAt: LogPosition(20))
        let own = try await learner.client.auditExtent(hashAt: LogPosition(20))
        #expect(own.hash == extent.hash)
        #expect(own.hash != nil)
        #expect(own.retained.newest == CatalogVersion(20))
        let oldest = own.retained.oldest
        let first = try await take {
          try await learner.client.auditAt(.span(.all), asOf: .version(oldest), $0)
        }
        #expect(first.elements == tables[Int(oldest.rawValue)].routes(overlapping: .all))
      }
    }
    withExtendedLifetime(folder) {}
  }
}

extension LogFilter {
  fileprivate static func with(_ fill: (inout LogFilter) -> Void) -> LogFilter {
    var filter = LogFilter()
    fill(&filter)
    return filter
  }
}

import CadastreClient
import CadastreProtocol
import Catalog
import EtcdSupport
import Foundation
import GRPCCore
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

@Suite(.oneEtcd, .timeLimit(.minutes(5))) struct ReadsTests {
  @Test(arguments: LogKind.allCases) func resolvesKeys(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      let receipt = try await node.client.submit(.test(bootstrap("g", "p")))
      let answer = try await node.client.resolve(Key("house"))
      #expect(answer.value.span.lower == Key("g"))
      #expect(answer.value.span.upper == Key("p"))
      #expect(answer.value.group == GroupID(2))
      #expect(answer.stamp.version == receipt.version)
      #expect(answer.stamp.staleness == .zero)
      #expect(answer.stamp.servedAtMilliseconds > 1_700_000_000_000)

      let keys = ["", "a", "g", "zz", "h"].map { Key($0) }
      let owners = try await node.client.owners(of: keys)
      #expect(owners.value.map(\.group.rawValue) == [1, 1, 2, 3, 2])
      let routes = try await node.client.resolve(keys)
      #expect(routes.value.map(\.id) == owners.value.map(\.route))
      #expect(routes.value[3].span.upper == nil)
    }
  }

  @Test(arguments: LogKind.allCases) func refusesBeforeTheBootstrap(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      for error in [
        await refusal { try await node.client.resolve(Key("a")) },
        await refusal { try await node.client.owners(of: [Key("a")]) },
      ] {
        #expect(error?.code == .failedPrecondition)
        #expect(error?.reason == "not_bootstrapped")
      }
      let listing = try await node.client.listRoutes(.span(.all))
      #expect(listing.page.value.isEmpty)
    }
  }

  /// Whether the catalog has routes it does not know.
  @Test func whoHasHeardNothingYetDoesNotSayThatThereIsNothing() async throws {
    let folder = TemporaryFolder()
    let port = quietPort()
    let address = NodeAddress(host: "127.0.0.1", port: port)
    try await withNode(TestNode.newLearner(folder, of: address)) { learner in
      for error in [
        await refusal { try await learner.client.resolve(Key("a")) },
        await refusal { try await learner.client.owners(of: [Key("a")]) },
      ] {
        #expect(error?.code == .unavailable)
        #expect(error?.reason == "behind")
      }
      // Once it has heard that there is nothing, it says so.
      try await withNode(TestNode.leader(folder, port: port)) { _ in
        try await until { learner.core.staleness() != nil }
        let error = await refusal { try await learner.client.resolve(Key("a")) }
        #expect(error?.code == .failedPrecondition)
        #expect(error?.reason == "not_bootstrapped")
      }
    }
    withExtendedLifetime(folder) {}
  }

  @Test(arguments: LogKind.allCases) func refusesWhatIsTooLong(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(oneRoute))
      var request = Wire.ResolveRequest()
      request.key = Data(repeating: 1, count: 4097)
      let message = request
      let long = await refusal { try await node.client.reads.resolve(message) }
      #expect(long?.code == .invalidArgument)
      #expect(long?.message.contains("4096") == true)
      let many = await refusal {
        try await node.client.owners(of: Array(repeating: Key("a"), count: 10_001))
      }
      #expect(many?.code == .invalidArgument)
      #expect(many?.message.contains("10000") == true)
    }
  }

  @Test(arguments: LogKind.allCases) func waitsForAVersion(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.limits.patience = .seconds(60)
    } _: { node in
      try await node.client.submit(.test(oneRoute))
      async let answer = node.client.resolve(
        Key("x"), demand: ReadDemand(minimumVersion: CatalogVersion(2)))
      try await node.client.submit(.test(split("m")))
      let route = try await answer.value
      #expect(route.span.lower == Key("m"))
    }
  }

  @Test(arguments: LogKind.allCases)
  func refusesWhatItCannotMeetAndSaysWhatItHas(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.limits.patience = .milliseconds(20)
    } _: { node in
      try await node.client.submit(.test(oneRoute))
      let demand = ReadDemand(minimumVersion: CatalogVersion(9))
      for error in [
        await refusal { try await node.client.resolve(Key("x"), demand: demand) },
        await refusal { try await node.client.owners(of: [Key("x")], demand: demand) },
        await refusal { try await node.client.listRoutes(.span(.all), demand: demand) },
        await refusal { try await node.client.status(demand: demand) },
        await refusal { try await node.client.listRoutes(.span(.all), at: CatalogVersion(9)) },
      ] {
        #expect(error?.code == .unavailable)
        #expect(error?.reason == "behind")
        #expect(error?.detail?.catalogVersion == 1)
      }
    }
  }

  @Test(arguments: LogKind.allCases)
  func answersBeforeTheCallersDeadline(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.limits.patience = .seconds(3600)
    } _: { node in
      try await node.client.submit(.test(oneRoute))
      let error = await refusal {
        try await node.core.view(
          meeting: ReadDemand(minimumVersion: CatalogVersion(9)), timeout: .milliseconds(200))
      }
      #expect(error?.reason == "behind")
    }
  }

  @Test(arguments: LogKind.allCases)
  func aListingOfAnOlderVersionThanDemandedIsRefused(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(oneRoute))
      for text in ["g", "p"] { try await node.client.submit(.test(split(text))) }
      let (_, token) = try await node.client.listRoutes(.span(.all), pageSize: 1)
      try await node.client.submit(.test(split("x")))
      let demand = ReadDemand(minimumVersion: CatalogVersion(4))
      for error in [
        await refusal {
          try await node.client.listRoutes(.span(.all), at: CatalogVersion(2), demand: demand)
        },
        await refusal {
          try await node.client.listRoutes(.span(.all), after: token, demand: demand)
        },
      ] {
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains("min_catalog_version") == true)
      }
      let met = ReadDemand(minimumVersion: CatalogVersion(3))
      #expect(
        try await node.client.listRoutes(.span(.all), after: token, demand: met).page.value.count
          == 2)
    }
  }

  @Test(arguments: LogKind.allCases) func listsByGroupAndID(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(bootstrap("b", "c", "d")))
      try await node.client.submit(.test(.move([RouteID(3), RouteID(4)], to: GroupID(1))))
      let group = try await node.client.listRoutes(.group(GroupID(1)), pageSize: 2)
      #expect(group.page.value.map(\.id.rawValue) == [1, 3])
      let rest = try await node.client.listRoutes(
        .group(GroupID(1)), pageSize: 2, after: group.next)
      #expect(rest.page.value.map(\.id.rawValue) == [4])
      #expect(rest.next == nil)
      let ids = try await node.client.listRoutes(
        .ids([4, 99, 2, 1].map { RouteID($0) }), pageSize: 2)
      #expect(ids.page.value.map(\.id.rawValue) == [4, 2])
      let last = try await node.client.listRoutes(
        .ids([4, 99, 2, 1].map { RouteID($0) }), pageSize: 2, after: ids.next)
      #expect(last.page.value.map(\.id.rawValue) == [1])
      #expect(last.next == nil)
      let span = try await node.client.listRoutes(.span(try KeySpan(Key("bb"), Key("cc"))))
      #expect(span.page.value.map(\.id.rawValue) == [2, 3])
      #expect(span.next == nil)
    }
  }

  @Test(arguments: LogKind.allCases)
  func pagesShowOneVersionWhileTheCatalogChanges(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(bootstrap("b", "c", "d", "e")))
      let before = node.core.store.current.routes.routes(overlapping: .all)
      var listed: [Route] = []
      var token: Data?
      repeat {
        let (page, next) = try await node.client.listRoutes(
          .span(.all), pageSize: 1, after: token)
        #expect(page.stamp.version == CatalogVersion(1))
        listed += page.value
        token = next
        try await node.client.submit(.test(split("c\(listed.count)", "e\(listed.count)")))
      } while token != nil
      #expect(listed == before)
      let old = try await node.client.listRoutes(.span(.all), at: CatalogVersion(1))
      #expect(old.page.value == before)
    }
  }

  @Test(arguments: LogKind.allCases)
  func pagesOfAForgottenVersionAreRefused(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.store.historyCapacity = 2
    } _: { node in
      try await node.client.submit(.test(bootstrap("m")))
      let (_, next) = try await node.client.listRoutes(.span(.all), pageSize: 1)
      for text in ["a", "b", "c"] { try await node.client.submit(.test(split(text))) }
      let error = await refusal {
        try await node.client.listRoutes(.span(.all), pageSize: 1, after: next)
      }
      #expect(error?.code == .outOfRange)
      #expect(error?.reason == "version_not_retained")
      #expect(error?.detail?.oldestVersion == 3)
      #expect(error?.detail?.catalogVersion == 4)
    }
  }

  @Test(arguments: LogKind.allCases)
  func tokensOfOtherListingsAreRefused(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(bootstrap("m")))
      let (_, next) = try await node.client.listRoutes(.span(.all), pageSize: 1)
      let other = await refusal {
        try await node.client.listRoutes(.group(GroupID(1)), pageSize: 1, after: next)
      }
      #expect(other?.code == .invalidArgument)
      let junk = await refusal {
        try await node.client.listRoutes(.span(.all), after: Data([1, 2, 3]))
      }
      #expect(junk?.code == .invalidArgument)
      let large = await refusal {
        try await node.client.listRoutes(.span(.all), pageSize: 10_001)
      }
      #expect(large?.code == .invalidArgument)
    }
  }

  @Test(arguments: LogKind.allCases) func pagesStaySmallWhenKeysAreLong(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.limits.messageByteCount = 20_000
    } _: { node in
      let starts = (0..<20).map { Key(unchecked: [UInt8($0)] + Array(repeating: 7, count: 4000)) }
      try await node.client.submit(
        .test(
          .bootstrap(
            ([.least] + starts).map { RouteSeedRequest(start: $0, group: GroupID(1)) })))
      for selector in [RouteSelector.span(.all), .group(GroupID(1))] {
        var (pages, listed) = (0, [Route]())
        try await node.client.forEachPage(selector) { page in
          pages += 1
          listed += page.value
          return true
        }
        #expect(pages > 4)
        #expect(listed == node.core.store.current.routes.routes(overlapping: .all))
      }
    }
  }

  @Test(arguments: LogKind.allCases) func statusTellsWhereTheNodeIs(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.region = try? Region("eu-west")
    } _: { node in
      try await node.client.submit(.test(bootstrap("m")))
      let status = try await node.client.status()
      let state = node.core.store.current
      #expect(status.role == .leader)
      #expect(status.region == "eu-west")
      #expect(status.catalog == testCatalog)
      #expect(status.position == LogPosition(1))
      #expect(status.firstPosition == LogPosition(1))
      #expect(status.version == CatalogVersion(1))
      #expect(status.headHash == state.lastHash)
      #expect(status.digest == state.digest)
      #expect(status.routeCount == 2)
      #expect(status.oldestVersion == .zero)
      #expect(status.leaderAddress == "\(node.address)")
      #expect(status.learner == nil)
      #expect(status.condition.isEmpty)
    }
  }
}

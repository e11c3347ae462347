import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Replay
import StateMachines
import SwiftProtobuf
import Synchronization
import TestSupport
import Testing

@testable import Node

@Suite(.timeLimit(.minutes(5))) struct MetricsTests {
  /// Where a node serves its metrics.
  private final class Scrape: Sendable {
    private let address = Mutex<NodeAddress?>(nil)

    func configure(_ configuration: inout NodeConfiguration) {
      configuration.metrics = NodeAddress(host: "127.0.0.1", port: 0)
      configuration.onMetricsListening = { found in self.address.withLock { $0 = found } }
    }

    var found: NodeAddress {
      get throws { try #require(address.withLock { $0 }) }
    }

    func callAsFunction() async throws -> PrometheusText {
      let (head, body) = try await httpCall("GET", "/metrics", at: found)
      #expect(head.hasPrefix("HTTP/1.1 200"))
      #expect(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"))
      return try PrometheusText(body)
    }
  }

  @Test func aLeadersMetricsAreTrue() async throws {
    let scrape = Scrape()
    try await withLeader { configuration in
      scrape.configure(&configuration)
    } _: { node in
      try await node.client.submit(.test(oneRoute))
      for key in ["b", "m", "t"] { try await node.client.submit(.test(split(key))) }
      for key in ["a", "c"] { _ = try await node.client.resolve(Key(key)) }
      let tooLong = await refusal {
        try await node.client.reads.resolve(
          .with { $0.key = Data(repeating: 1, count: Key.maximumLength + 1) })
      }
      #expect(tooLong?.code == .invalidArgument)
      let store = node.core.store
      try await store.checkpointNow()
      // The commitment that follows the checkpoint.
      _ = try await store.wait { $0.appliedThrough == LogPosition(5) }
      let text = try await scrape()
      #expect(text.value("cadastre_route_count") == 4)
      #expect(text.value("cadastre_catalog_version") == 4)
      #expect(text.value("cadastre_log_position") == 5)
      #expect(text.value("cadastre_log_first_position") == 1)
      #expect(text.value("cadastre_log_bytes") == Double(store.logByteCount))
      #expect(text.value("cadastre_checkpoint_lag_versions") == 0)
      #expect(try #require(text.value("cadastre_checkpoint_age_seconds")) < 120)
      #expect(text.value("cadastre_commands_waiting") == 0)
      #expect(text.value("cadastre_healthy") == 1)
      #expect(text.value("cadastre_watchers") == 0)
      #expect(text.value("cadastre_watcher_lag_seconds") == 0)
      // One after the other, so each in a commit of its own.
      #expect(text.value("cadastre_commit_duration_seconds_count") == 5)
      #expect(text.value("cadastre_commit_batch_size_sum") == 5)
      #expect(text.value("cadastre_commit_batch_size_bucket", ["le": "1.0"]) == 5)
      let resolve = "cadastre.v1.CatalogReads/Resolve"
      #expect(text.value("cadastre_requests_total", ["method": resolve, "code": "OK"]) == 2)
      #expect(
        text.value("cadastre_requests_total", ["method": resolve, "code": "INVALID_ARGUMENT"]) == 1)
      #expect(text.value("cadastre_request_duration_seconds_count", ["method": resolve]) == 3)
      #expect(text.value("cadastre_requests_in_flight", ["method": resolve]) == 0)
      let unused = "cadastre.v1.Audit/Prove"
      #expect(text.value("cadastre_requests_total", ["method": unused, "code": "OK"]) == 0)
      #expect(text.value("cadastre_request_duration_seconds_count", ["method": unused]) == nil)
      #expect(
        text.value(
          "cadastre_node_info", ["role": "leader", "region": "", "catalog": "\(store.catalog)"])
          == 1)
      #expect(text.value("cadastre_learner_lag_entries") == nil)
      for name in ["resident_memory_bytes", "virtual_memory_bytes", "open_fds", "max_fds"] {
        #expect(try #require(text.value("process_\(name)")) > 0)
      }
      let start = try #require(text.value("process_start_time_seconds"))
      let now = Double(NodeClock.system.wallMilliseconds()) / 1000
      #expect(start > now - 86_400 && start <= now + 1)
      #expect(text.value("process_cpu_seconds_total") != nil)
    }
  }

  @Test func aWatcherIsCounted() async throws {
    let scrape = Scrape()
    try await withLeader { configuration in
      scrape.configure(&configuration)
    } _: { node in
      try await node.client.submit(.test(oneRoute))
      let (seen, sees) = AsyncStream.makeStream(of: Void.self)
      let watching = Task {
        try await node.client.watch(from: CatalogVersion(1)) { _ in sees.yield() }
      }
      for await _ in seen { break }
      let text = try await scrape()
      #expect(text.value("cadastre_watchers") == 1)
      let method = "cadastre.v1.CatalogWatch/Watch"
      #expect(text.value("cadastre_requests_in_flight", ["method": method]) == 1)
      #expect(text.value("cadastre_watcher_lag_versions") == 0)
      watching.cancel()
      _ = await watching.result
      try await until { try await scrape().value("cadastre_watchers") == 0 }
      let ended = try await scrape()
      #expect(ended.value("cadastre_requests_in_flight", ["method": method]) == 0)
      // A stream's length is nobody's latency.
      #expect(ended.value("cadastre_request_duration_seconds_count", ["method": method]) == nil)
    }
  }

  @Test func aLearnersMetricsAreTrue() async throws {
    let (folder, scrape) = (TemporaryFolder(), Scrape())
    let leader = try await TestNode.leader(folder)
    try await leader.client.submit(.test(bootstrap("g", "p")))
    let learner = try await TestNode(
      .learner(of: leader.address), folder: folder.appending("learner"), region: "home"
    ) { scrape.configure(&$0) }
    try await withNode(learner) { learner in
      try await reach(learner, CatalogVersion(1))
      try await until {
        try await scrape().value("cadastre_learner_staleness_seconds") != .infinity
      }
      let text = try await scrape()
      #expect(text.value("cadastre_route_count") == 3)
      #expect(text.value("cadastre_learner_connected") == 1)
      #expect(text.value("cadastre_learner_lag_entries") == 0)
      #expect(try #require(text.value("cadastre_learner_staleness_seconds")) < 60)
      #expect(text.value("cadastre_learner_resets_total") == 0)
      #expect(text.value("cadastre_commit_duration_seconds_count") == 1)
      #expect(
        text.value(
          "cadastre_node_info",
          ["role": "learner", "region": "home", "catalog": "\(testCatalog)"]) == 1)
      try await leader.stop()
      try await until { try await scrape().value("cadastre_learner_connected") == 0 }
      let alone = try await scrape()
      #expect(
        try #require(alone.value("cadastre_learner_staleness_seconds"))
          > text.value("cadastre_learner_staleness_seconds") ?? .infinity)
    }
    withExtendedLifetime(folder) {}
  }

  @Test func aRegionsStreamIsCountedWithoutItsGroups() async throws {
    let (scrape, region) = (Scrape(), try Region("home"))
    try await withLeader { configuration in
      scrape.configure(&configuration)
      configuration.ledRegions = [region]
    } _: { node in
      try await node.client.submit(.test(oneRoute))
      for change in enablingRegionStreams(member: try MemberName("node"), region: region) {
        try await node.client.submit(
          Command(id: .fresh(), actor: "test", reason: "a test", change: .membership(change)))
      }
      _ = try await node.client.lead(
        GroupSet(GroupRun(GroupID(1), through: GroupID(5000))), in: region)
      let labels = ["region": "home"]
      try await until {
        try await scrape().value("cadastre_region_leased_groups", labels) == 5000
      }
      let text = try await scrape()
      let led = labels.merging(["standing": "led"]) { $1 }
      #expect(text.value("cadastre_region_groups", led) == 5000)
      #expect(text.value("cadastre_region_leases", labels) == 1)
      #expect(try #require(text.value("cadastre_region_log_position", labels)) >= 1)
      #expect(text.value("cadastre_region_transactions_pending", labels) == 0)
      // However many groups there are: nothing that has no bound is a label.
      let names = Set(text.families.flatMap(\.samples).flatMap(\.labels.keys))
      #expect(
        names.isSubset(of: [
          "method", "code", "le", "role", "region", "catalog", "version", "configuration",
          "standing",
        ]))
      #expect(text.families.flatMap(\.samples).count < 1000)
    }
  }

  @Test func otherRequestsAreAnsweredPlainly() async throws {
    let scrape = Scrape()
    try await withLeader { configuration in
      scrape.configure(&configuration)
    } _: { _ in
      let address = try scrape.found
      let other = try await httpCall("GET", "/secret", at: address)
      #expect(other.head.hasPrefix("HTTP/1.1 404"))
      let post = try await httpCall("POST", "/metrics", at: address)
      #expect(post.head.hasPrefix("HTTP/1.1 405"))
      #expect(post.head.contains("allow: GET, HEAD"))
      let head = try await httpCall("HEAD", "/metrics", at: address)
      #expect(head.head.hasPrefix("HTTP/1.1 200"))
      #expect(head.body.isEmpty)
      let garbage = try await exchange("\u{0}\u{1}nonsense\r\n\r\n", with: address)
      #expect(garbage.hasPrefix("HTTP/1.1 400"))
      // Two on one connection, the second with a query.
      let two = try await exchange(
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
          + "GET /metrics?x=y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", with: address)
      #expect(two.split(separator: "HTTP/1.1 200 OK").count == 2)
      #expect(two.contains("cadastre_route_count 0"))
    }
  }

  @Test func metricsStayOnThisMachineUnlessToldOtherwise() throws {
    var configuration = NodeConfiguration(
      role: .leader, folder: "f", listen: NodeAddress(host: "127.0.0.1", port: 0))
    configuration.metrics = NodeAddress(host: "0.0.0.0", port: 9470)
    let error = #expect(throws: NodeError.self) { try configuration.check() }
    #expect(error?.reason == "insecure_bind")
    #expect(error?.message.contains("--allow-insecure-bind") == true)
    configuration.allowInsecureBind = true
    try configuration.check()
  }

  @Test func aPortThatIsTakenIsNamed() async throws {
    let scrape = Scrape()
    try await withLeader { configuration in
      scrape.configure(&configuration)
    } _: { _ in
      let taken = try scrape.found
      let error = await refusal { try await MetricsServer.listen(on: taken) { "" } }
      #expect(error?.reason == "address_in_use")
      #expect(error?.message.contains("\(taken)") == true)
    }
  }
}

@Suite struct MetricsValueTests {
  @Test func aHistogramCountsAtAndBelowItsBounds() {
    let histogram = Histogram(bounds: [10, 20], scale: 10)
    for value: UInt64 in [0, 10, 11, 20, 21, 1000] { histogram.observe(value) }
    let reading = histogram.reading
    #expect(reading.cumulative == [2, 4, 6])
    #expect(reading.sum == 106.2)
  }

  @Test func whatIsWrittenCanBeRead() throws {
    var text = MetricsText()
    text.begin("a_total", .counter, "Back\\slash, new\nline and \"quotes\".")
    text.sample(3, ("label", "a\\b\n\"c\""), ("other", ""))
    text.gauge("b", "Not a number.", Double.nan)
    text.gauge("c", "Without a bound.", Double.infinity)
    text.begin("d_seconds", .histogram, "Times.")
    let histogram = Histogram(upTo: [.milliseconds(1), .seconds(1)])
    histogram.observe(.milliseconds(500))
    text.sample(histogram, ("method", "m"))
    let read = try PrometheusText(text.text)
    #expect(read.value("a_total", ["label": "a\\b\n\"c\"", "other": ""]) == 3)
    #expect(read.value("b")?.isNaN == true)
    #expect(read.value("c") == .infinity)
    #expect(read.value("d_seconds_bucket", ["method": "m", "le": "0.001"]) == 0)
    #expect(read.value("d_seconds_bucket", ["method": "m", "le": "1.0"]) == 1)
    #expect(read.value("d_seconds_sum", ["method": "m"]) == 0.5)
  }

  @Test(arguments: [
    "a 1\n", "# TYPE a gauge\na 1\n", "# HELP a b\n# TYPE a gauge\na 1",
    "# HELP a b\n# TYPE a counter\na 1\n", "# HELP a b\n# TYPE a gauge\nb 1\n",
    "# HELP a b\n# TYPE a gauge\na 1\na 1\n", "# HELP a b\n# TYPE a gauge\na{b=\"c} 1\n",
    "# HELP a b\n# TYPE a gauge\na one\n", "# HELP a_total b\n# TYPE a_total counter\na_total -1\n",
    "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
  ]) func theReaderIsStrict(_ text: String) {
    #expect(throws: PrometheusText.Malformed.self) { try PrometheusText(text) }
  }

  @Test func aWatcherLagsFromWhenThereWasSomethingToRead() async throws {
    let watchers = WatcherMetrics()
    func at(_ seconds: Int) -> Moment { Moment(sinceStart: .seconds(seconds)) }
    func reading(_ version: UInt64, _ seconds: Int) -> WatcherMetrics.Reading {
      watchers.reading(of: CatalogVersion(version), at: at(seconds))
    }
    watchers.published(CatalogVersion(1), at: at(1))
    #expect(reading(1, 5) == WatcherMetrics.Reading())
    await watchers.withPlace(at: CatalogVersion(1)) { slow in
      await watchers.withPlace(at: CatalogVersion(1)) { quick in
        #expect(reading(1, 5) == WatcherMetrics.Reading(count: 2))
        watchers.published(CatalogVersion(2), at: at(10))
        watchers.published(CatalogVersion(3), at: at(20))
        #expect(
          reading(3, 30) == WatcherMetrics.Reading(count: 2, lag: .seconds(20), versionLag: 2))
        quick.move(to: CatalogVersion(3))
        slow.move(to: CatalogVersion(2))
        #expect(
          reading(3, 30) == WatcherMetrics.Reading(count: 2, lag: .seconds(10), versionLag: 1))
        slow.move(to: CatalogVersion(3))
        #expect(reading(3, 30) == WatcherMetrics.Reading(count: 2))
      }
    }
    #expect(reading(3, 30).count == 0)
  }

  @Test func publicationsAreKeptRoughlyForEver() throws {
    var times = PublicationTimes()
    for version in 1...100_000 {
      times.note(
        CatalogVersion(UInt64(version)), at: Moment(sinceStart: .seconds(version)))
    }
    #expect(times.notes.count <= PublicationTimes.capacity)
    for behind in [1, 10, 400, 5_000, 99_999] {
      let time = try #require(times.time(after: CatalogVersion(UInt64(100_000 - behind))))
      // From when the first version that it lacks was published: what is told may be less, never
      // more, and is exact for the last few hundred.
      let (told, truth) = (
        Moment(sinceStart: .seconds(100_000)) - time, Duration.seconds(behind - 1)
      )
      #expect(told <= truth)
      #expect(behind > 400 || told == truth)
      #expect(told >= truth * 7 / 8)
    }
    #expect(times.time(after: CatalogVersion(100_000)) == nil)
  }
}

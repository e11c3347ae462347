import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import StateMachines
import SwiftProtobuf
import Synchronization

/// A catalog at a server.
struct ServerCatalog: CatalogReader, CatalogWriter {
  /// How many keys a server resolves in one call.
  private static let maximumKeyCount = 10_000
  /// How many bytes of keys: the answer, with both ends of each route, has to fit into a message.
  private static let maximumKeyByteCount = 2 << 20
  /// How many routes are asked for at a time.
  private static let pageSize = 5_000
  /// How long a call may take: a node that cannot meet a read's demand waits for less.
  private static let deadline: Duration = .seconds(30)

  /// How often a watched server is asked to tell that nothing changed.
  private static let progressInterval: Duration = .seconds(3)

  let client: NodeClient
  /// A watched server that says nothing for so long is gone.
  var silenceLimit: Duration = .seconds(15)

  func resolve(_ keys: [Key], demand: ReadDemand) async throws -> ResolvedKeys {
    var demand = demand
    var rest = keys[...]
    var resolved: ResolvedKeys?
    repeat {
      let batch = Self.batch(of: rest)
      rest = rest[batch.endIndex...]
      let answer = try await client.resolveRoutes(
        Array(batch), demand: demand, deadline: Self.deadline)
      // The next batch must not be answered from an older version.
      demand.minimumVersion = max(demand.minimumVersion, answer.stamp.version)
      let next = ResolvedKeys(stamp: answer.stamp, routes: answer.value)
      if resolved == nil { resolved = next } else { resolved?.append(next) }
    } while !rest.isEmpty
    guard let resolved else { throw CancellationError() }
    return resolved
  }

  /// The first of `keys`, as many as fit into one call.
  private static func batch(of keys: ArraySlice<Key>) -> ArraySlice<Key> {
    var byteCount = 0
    let end = keys.prefix(maximumKeyCount).firstIndex { key in
      byteCount += key.bytes.count
      return byteCount > maximumKeyByteCount
    }
    return end.map { keys[..<$0] } ?? keys.prefix(maximumKeyCount)
  }

  func routes(
    _ selector: RouteSelector, limit: Int, demand: ReadDemand
  ) async throws -> RouteListing {
    var routes: [Route] = []
    var token: Data?
    while true {
      let wanted = min(Self.pageSize, limit - routes.count)
      let (page, next) = try await client.listRoutes(
        selector, pageSize: wanted, after: token, demand: demand, deadline: Self.deadline)
      routes += page.value
      if next == nil || routes.count >= limit {
        return RouteListing(stamp: page.stamp, routes: routes, hasMore: next != nil)
      }
      token = next
    }
  }

  func status() async throws -> CatalogStatus {
    CatalogStatus(try await client.status(deadline: Self.deadline))
  }

  func submit(_ command: Command) async throws -> CommandReceipt {
    try await client.submit(command, deadline: Self.deadline)
  }

  func watch(
    after version: CatalogVersion?, _ filter: WatchFilter,
    _ body: @escaping @Sendable (WatchUpdate) throws -> Bool
  ) async throws {
    struct Enough: Error {}
    let start: CatalogVersion
    if let version {
      start = version
    } else {
      start = try await client.status(deadline: Self.deadline).version
    }
    let resetReason = Mutex("")
    do {
      try await watch(from: start, filter) { event in
        let update: WatchUpdate
        switch event {
        case .started(_, let version, reset: nil): update = .started(version)
        case .started(_, _, reset: .some(let reason)):
          return resetReason.withLock { $0 = reason }
        case .snapshot(_, _, end: nil), .digest: return
        case .progress(let stamp): update = .passed(stamp.version)
        case .snapshot(let version, _, end: .some(let end)):
          update = .reset(
            version, routeCount: end.routeCount, digest: end.digest,
            reason: resetReason.withLock { $0 })
        case .delta(let delta): update = .delta(delta)
        }
        guard try body(update) else { throw Enough() }
      }
    } catch is Enough {
      // The caller has seen what it wanted to see.
    }
  }

  /// Watches until the server falls silent.
  private func watch(
    from version: CatalogVersion, _ filter: WatchFilter,
    _ body: @escaping @Sendable (WatchEvent) throws -> Void
  ) async throws {
    let client = client
    // A learner may have yet to reach the version; until then it says nothing.
    let alarm = SilenceAlarm(first: max(silenceLimit, Self.deadline), then: silenceLimit)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await client.watch(
          from: version, filter: filter, progress: Self.progressInterval
        ) { event in
          try alarm.heard { try body(event) }
        }
      }
      group.addTask {
        try await alarm.wait()
        throw Problem(
          .unavailable, code: "silent", "\(client.address) has fallen silent",
          help: "watch again, or watch another node, from the last version that was printed")
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }
}

extension NodeClient {
  /// The routes of `keys`, in their order, all at one version.
  func resolveRoutes(
    _ keys: [Key], demand: ReadDemand, deadline: Duration?
  ) async throws(NodeError) -> Answer<[Route]> {
    let request = Wire.ResolveBatchRequest.with {
      $0.keys = keys.map { Data($0.bytes) }
      $0.includeRoutes = true
      $0.demand = Wire.ReadDemand(demand)
    }
    return try await calling(address) {
      let response = try await reads.resolveBatch(request, options: options(deadline))
      var routes: [UInt64: Route] = [:]
      for route in response.routes { routes[route.id] = try route.value() }
      let found = response.routeIds.compactMap { routes[$0] }
      guard found.count == keys.count else {
        throw MalformedMessage("the answer has not one route for each key")
      }
      return Answer(found, response.stamp.value)
    }
  }
}

extension UpstreamStatus {
  /// Whom the learner follows and why, for people.
  fileprivate var text: String {
    let way = way.isEmpty ? "unknown" : way.joined(separator: " < ")
    return way + (isRelay ? ", as the relay of its region" : "")
      + (reason.isEmpty ? "" : ": \(reason)")
  }
}

extension CatalogStatus {
  /// What a server says of itself.
  init(_ status: NodeStatus) {
    self.init(
      catalog: status.catalog, version: status.version, position: status.position,
      firstPosition: status.firstPosition, routeCount: status.routeCount, digest: status.digest,
      headHash: status.headHash, lastTime: status.lastTime,
      condition: status.condition.isEmpty ? nil : status.condition, warnings: status.warnings)
    add("role", status.role.rawValue, "role", .string(status.role.rawValue))
    add("region", status.region.isEmpty ? "none" : status.region, "region", .string(status.region))
    add("leader", status.leaderAddress, "leader_address", .string(status.leaderAddress))
    add(
      "retained", "versions \(status.oldestVersion) to \(status.newestVersion)", "oldest_version",
      JSON(status.oldestVersion))
    let uptime = status.uptime.wholeMilliseconds
    add("up for", "\(grouped(uptime / 1000)) s", "uptime_ms", .number(uptime))
    if let cluster = status.cluster {
      let leader = cluster.leader.map { "\($0) leads term \(cluster.term)" } ?? "nobody leads"
      let held =
        cluster.heldBackBy.isEmpty
        ? "" : "; held back by \(cluster.heldBackBy.joined(separator: ", "))"
      add(
        "cluster", "\(cluster.member) of \(cluster.stream): \(leader)\(held)", "cluster",
        [
          "stream": .string(cluster.stream), "member": .string(cluster.member),
          "leader": JSON(cluster.leader), "term": .number(cluster.term),
          "held_back_by": .array(cluster.heldBackBy.map { .string($0) }),
          "lag": .number(cluster.lag),
        ])
    }
    let staleness = status.stamp.staleness?.wholeMilliseconds
    guard let learner = status.learner else { return }
    add(
      "staleness", staleness.map { "\(grouped($0)) ms at most" } ?? "unknown", "staleness_ms",
      JSON(staleness))
    add(
      "following", learner.isConnected ? "yes" : "no: \(learner.lastError)", "learner",
      [
        "connected": .bool(learner.isConnected),
        "leader_position": JSON(learner.leaderPosition),
        "leader_version": JSON(learner.leaderVersion),
        "lag": .number(learner.lag),
        "resets": .number(learner.resets),
        "reconnects": .number(learner.reconnects),
        "last_error": .string(learner.lastError),
      ])
    let upstream = learner.upstream
    add(
      "upstream", upstream.text, "upstream",
      [
        "way": .array(upstream.way.map { .string($0) }),
        "relay": .bool(upstream.isRelay),
        "reason": .string(upstream.reason),
        "changes": .number(upstream.changeCount),
        "received": .array(
          upstream.received.map { receipts in
            [
              "address": .string(receipts.address), "entries": .number(receipts.entries),
              "bytes": .number(receipts.bytes),
            ]
          }),
      ])
    add("lag", "\(grouped(learner.lag)) entries", "lag", .number(learner.lag))
  }

  private mutating func add(_ label: String, _ text: String, _ name: String, _ value: JSON) {
    more.append((label, text, name, value))
  }
}

import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Logging
import NIOPosix
import Replay
import ServiceLifecycle
import StateMachines
import Synchronization
import UnixSignals

/// A node from its start to its end: opens the store, serves, follows where it is a learner, and on
/// a graceful shutdown ends its streams, lets its calls finish and closes the store.
package final class NodeService: Service {
  private let configuration: NodeConfiguration
  private let clock: NodeClock
  private let logger: Logger
  private let metrics: NodeMetrics
  private let phase = Mutex(Phase.starting)
  /// Nil as long as the node does not serve.
  private let security = Mutex<NodeSecurity?>(nil)
  /// Closed when the node begins to stop.
  private let stop = WakeHub()

  private enum Phase {
    case starting
    case serving(NodeCore, NodeServer)
    case stopping
  }

  package init(
    _ configuration: NodeConfiguration, clock: NodeClock = .system, logger: Logger
  ) {
    self.configuration = configuration
    self.clock = clock
    metrics = NodeMetrics(clock: clock)
    var logger = logger
    if let region = configuration.region { logger[metadataKey: "region"] = "\(region)" }
    self.logger = logger
  }

  /// Runs a node until SIGTERM or SIGINT has ended it in good order. At SIGHUP it reads its files
  /// again, and goes on.
  package static func runUntilSignalled(
    _ configuration: NodeConfiguration, logger: Logger
  ) async throws {
    try configuration.check()
    let service = NodeService(configuration, logger: logger)
    // Also while the node starts, or is about to end, it does not end by this one.
    let hangups = await UnixSignalsSequence(trapping: .sighup)
    let reloading = Task { for await _ in hangups { await service.reload() } }
    defer { reloading.cancel() }
    let group = ServiceGroup(
      configuration: .init(
        services: [
          .init(service: service, successTerminationBehavior: .gracefullyShutdownGroup)
        ],
        gracefulShutdownSignals: [.sigterm, .sigint],
        logger: logger))
    try await group.run()
  }

  package func run() async throws {
    try configuration.check()
    warn()
    logger.info(
      "network profile \(configuration.networkProfile)",
      metadata: ["settings": "\(configuration.effectiveProfile)"])
    try await withGracefulShutdownHandler {
      switch configuration.role {
      case .leader: try await runLeader()
      case .learner(let leader): try await runLearner(of: leader)
      case .member(let cluster): try await runMember(of: cluster)
      }
    } onGracefulShutdown: {
      self.beginShutdown()
    }
  }

  /// Begins to end what ``run()`` does, as a graceful shutdown does.
  package func beginShutdown() {
    let before = phase.withLock { phase in
      defer { phase = .stopping }
      return phase
    }
    stop.close()
    guard case .serving(let core, let server) = before else { return }
    logger.info("shutting down", metadata: ["catalog_version": "\(core.store.current.version)"])
    core.close()
    server.beginShutdown()
  }

  /// Reads certificates, keys, tokens and settings again, and logs what came of it. What cannot be used
  /// leaves in force what was there before.
  package func reload() async {
    guard let security = security.withLock({ $0 }) else {
      logger.notice("asked to read the files again: they are read at the start, which is under way")
      return
    }
    let (logger, configuration) = (logger, configuration)
    try? await NIOThreadPool.singleton.runIfActive {
      security.reload(logger: logger)
      configuration.onReload(logger)
    }
  }

  /// What the node serves from; nil before it serves and once it stops.
  package var core: NodeCore? {
    phase.withLock { if case .serving(let core, _) = $0 { core } else { nil } }
  }

  /// Warns of what is allowed and still not wise.
  private func warn() {
    if configuration.security.isOpenToAll, !configuration.listen.isLoopback {
      logger.warning(
        """
        whoever reaches this node may change the catalog: give --tokens, or --client-ca with \
        --require-client-cert
        """)
    }
  }

  private func runLeader() async throws {
    let store = try await openStore()
    let core = makeCore(store, role: .leader, leaderAddress: "")
    try await serve(core, commands: LeaderSink(core)) { _ in }
  }

  private func runMember(of cluster: ClusterOptions) async throws {
    let join = ClusterJoin(
      stream: cluster.stream, folder: configuration.folder, store: configuration.store,
      options: configuration.following, logger: logger)
    guard try await join.run(until: stop) else { return }
    let core = makeCore(
      try await openStore(), role: .learner, leaderAddress: "",
      cluster: ClusterStatus(stream: cluster.stream.name, member: cluster.name.name))
    let links = LeaderLinks(connection: configuration.connection)
    let sink = ClusterSink(core, links: links, options: cluster, following: configuration.following)
    let node = ClusterNode(
      core, sink: sink, links: links, options: cluster, following: configuration.following)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await links.run() }
      defer { group.cancelAll() }
      group.addTask { [stop, gracePeriod = configuration.gracePeriod] in
        await stop.untilClosed()
        // Commands that were passed on may end.
        links.shutdown()
        try await Task.sleep(for: gracePeriod)
        links.close()
      }
      try await serve(core, commands: sink) { address in
        guard let address else { return }
        await node.run(at: address)
      }
    }
  }

  private func runLearner(of leader: NodeAddress) async throws {
    let upstreams = try Upstreams(
      leader: leader, own: configuration.knownAddress, learners: configuration.regionLearners,
      options: configuration.following, connection: configuration.connection, clock: clock)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await upstreams.run() }
      defer { group.cancelAll() }
      let join = LearnerJoin(
        upstreams: upstreams, folder: configuration.folder, options: configuration.following,
        logger: logger)
      group.addTask { [stop, gracePeriod = configuration.gracePeriod] in
        await stop.untilClosed()
        // Nobody waits for a leader any more, but commands under way may end.
        upstreams.shutdown()
        try await Task.sleep(for: gracePeriod)
        upstreams.close()
      }
      guard try await join.run(until: stop) else { return }
      let core = makeCore(
        try await openStore(), role: .learner, leaderAddress: "\(leader)", upstreams: upstreams)
      let replica = Replica(core: core, upstreams: upstreams, options: configuration.following)
      let sink = ForwardingSink(to: upstreams, options: configuration.following)
      // An order that was given overrides the catalog's.
      let order =
        configuration.regionLearners.isEmpty
        ? configuration.member.map {
          RelayOrder(core: core, upstreams: upstreams, region: $0.region)
        } : nil
      try await serve(core, commands: sink) { _ in
        async let _: Void? = order?.run()
        await replica.run()
      }
    }
  }

  private func openStore() async throws -> CatalogStore {
    var options = configuration.store
    options.role =
      switch configuration.role {
      case .leader: .leader
      case .learner: .learner
      case .member: .member
      }
    let stream: (any SharedStream)? =
      if case .member(let cluster) = configuration.role { cluster.stream } else { nil }
    options.observer = metrics.commits
    let folder = configuration.folder
    let (clock, logger) = (clock, logger)
    let started = clock.now()
    let store = try await NIOThreadPool.singleton.runIfActive { [options] in
      try CatalogStore.open(
        folder: folder, options: options, sharing: stream,
        wallMilliseconds: clock.wallMilliseconds)
    }
    let state = store.current
    logger.info(
      "opened the log",
      metadata: [
        "catalog_version": "\(state.version)", "position": "\(state.appliedThrough)",
        "routes": "\(state.routes.count)", "catalog": "\(state.catalog)", "folder": "\(folder)",
        "milliseconds": "\((clock.now() - started).wholeMilliseconds)",
      ])
    for warning in store.checkpointWarnings {
      logger.warning(
        "a checkpoint cannot be used: another one, or the log, takes its place",
        metadata: ["error": "\(warning)"])
    }
    store.onCheckpointFailure { error in
      logger.warning(
        "could not make a checkpoint: trying again later", metadata: ["error": "\(error)"])
    }
    store.onWriteObstacle { obstacle in
      if let obstacle {
        logger.error("cannot write to the log", metadata: ["error": "\(obstacle)"])
      } else {
        logger.notice("writing to the log again")
      }
    }
    if let condition = store.condition {
      logger.error(
        "the log is not whole: serving what is proven before the damage, and writing nothing",
        metadata: ["error": "\(condition)"])
    }
    return store
  }

  private func makeCore(
    _ store: CatalogStore, role: NodeRole, leaderAddress: String, upstreams: Upstreams? = nil,
    cluster: ClusterStatus? = nil
  ) -> NodeCore {
    NodeCore(
      role: role, region: configuration.region?.name ?? "", store: store, clock: clock,
      limits: configuration.limits, leaderAddress: leaderAddress, upstreams: upstreams,
      cluster: cluster, metrics: metrics, logger: logger)
  }

  /// Serves until the shutdown, with `follow` beside it, and closes the store. `follow` is given where
  /// others reach the node.
  private func serve(
    _ core: NodeCore, commands: any CommandSink,
    following follow: @escaping @Sendable (NodeAddress?) async -> Void
  ) async throws {
    let commands =
      configuration.member.map { member -> any CommandSink in
        OriginSink(core: core, region: member.region, sink: commands)
      } ?? commands
    let (security, regions): (NodeSecurity, RegionNode)
    do {
      security = try NodeSecurity(configuration.security, clock: clock)
      self.security.withLock { $0 = security }
      regions = try await openRegions(core, commands)
    } catch {
      core.close()
      try? await NIOThreadPool.singleton.runIfActive { core.store.close() }
      throw error
    }
    let server = NodeServer(
      listen: configuration.listen,
      services: [
        TimestampsService(regions), TransactionsService(regions),
        ReadsService(core), CommandsService(commands), WatchService(core),
        MembersService(core, commands: commands),
        ReplicationService(core, regions: regions), AuditService(core),
        HealthService(core, services: Self.serviceNames),
        ReflectionService(), OldReflectionService(),
      ],
      connection: configuration.connection, limits: configuration.connectionLimits,
      security: security, calls: metrics.calls, logger: logger)
    let isStopping = phase.withLock { phase in
      if case .stopping = phase { return true }
      phase = .serving(core, server)
      return false
    }
    let store = core.store
    let result: Result<Void, any Error>
    do {
      if !isStopping {
        try await withMetrics(core, regions) {
          try await run(server, core, commands, regions, security, follow)
        }
      }
      result = .success(())
    } catch {
      result = .failure(error)
    }
    core.close()
    await regions.close()
    try? await NIOThreadPool.singleton.runIfActive { store.close() }
    logger.info("stopped", metadata: ["catalog_version": "\(store.current.version)"])
    try result.get()
  }

  /// Opens the streams of the regions that the node leads or mirrors.
  private func openRegions(
    _ core: NodeCore, _ commands: any CommandSink
  ) async throws -> RegionNode {
    let (configuration, logger) = (configuration, logger)
    let fallback = configuration.region.flatMap { try? MemberName($0.name) }
    let member = try configuration.leaderName ?? fallback ?? MemberName("node")
    let regions = try await NIOThreadPool.singleton.runIfActive {
      try RegionNode(configuration, member: member, core: core, commands: commands)
    }
    for (region, stream) in regions.streams {
      if let condition = stream.store.condition {
        logger.error(
          "the stream of region \(region) is not whole: it takes no entries",
          metadata: ["error": "\(condition)"])
      }
    }
    return regions
  }

  /// Runs `body` with the node's metrics served, where that is wanted.
  private func withMetrics(
    _ core: NodeCore, _ regions: RegionNode, _ body: () async throws -> Void
  ) async throws {
    guard let address = configuration.metrics else { return try await body() }
    let metrics = metrics
    let server = try await MetricsServer.listen(on: address) {
      metrics.text(of: core, regions: regions)
    }
    logger.info("metrics at http://\(server.address)/metrics")
    configuration.onMetricsListening(server.address)
    let result: Result<Void, any Error>
    do {
      result = .success(try await body())
    } catch {
      result = .failure(error)
    }
    await server.close()
    try result.get()
  }

  /// What health checks may ask for by name.
  private static let serviceNames: Set<String> = Set(
    [
      Cadastre_V1_CatalogReads.descriptor, Cadastre_V1_CatalogCommands.descriptor,
      Cadastre_V1_CatalogWatch.descriptor, Cadastre_V1_Replication.descriptor,
      Cadastre_V1_Audit.descriptor, Cadastre_V1_Members.descriptor,
      Cadastre_V1_Timestamps.descriptor, Cadastre_V1_Transactions.descriptor,
    ].map(\.fullyQualifiedService))

  private func run(
    _ server: NodeServer, _ core: NodeCore, _ commands: any CommandSink, _ regions: RegionNode,
    _ security: NodeSecurity, _ follow: @escaping @Sendable (NodeAddress?) async -> Void
  ) async throws {
    let (configuration, logger) = (configuration, logger)
    try await withThrowingTaskGroup(of: Void.self) { group in
      let beside =
        [
          { try await Self.announce(server, core, configuration, logger) },
          { await core.passOnPublications() },
          { try await core.keepTime() },
          {
            let address = await server.address
            await follow(address.map { configuration.advertisedAddress ?? $0 })
          },
          {
            let address = await server.address
            try await regions.run(at: configuration.advertisedAddress ?? address)
          },
          { try await security.keepInStep(logger: logger) },
          {
            guard let member = configuration.member, let address = await server.address else {
              return
            }
            try await MemberAgent(
              core: core, sink: commands, options: member,
              address: configuration.advertisedAddress ?? address,
              connection: configuration.connection
            ).run()
          },
          {
            guard let policy = configuration.retention else { return }
            try await RetentionSchedule(
              core: core, policy: policy, interval: configuration.retentionInterval
            ).run()
          },
          {
            // Calls that do not end by themselves are ended.
            await core.changes.untilClosed()
            try await Task.sleep(for: configuration.gracePeriod)
            throw GracePeriodOver()
          },
        ] as [@Sendable () async throws -> Void]
      for task in beside {
        group.addTask {
          try await task()
          // Only the server's end is this node's end.
          while !Task.isCancelled { try await Task.sleep(for: .seconds(3600)) }
        }
      }
      group.addTask { try await server.serve() }
      defer { group.cancelAll() }
      do {
        try await group.next()
      } catch is GracePeriodOver {
        logger.warning("calls were still under way at the end of the grace period")
      }
    }
  }

  private struct GracePeriodOver: Error {}

  /// Tells where the node listens.
  private static func announce(
    _ server: NodeServer, _ core: NodeCore, _ configuration: NodeConfiguration, _ logger: Logger
  ) async throws {
    // Where there is no address the server's own error says why.
    guard let address = await server.address else { return }
    if core.role == .leader, core.cluster == nil {
      core.leaderAddress = "\(configuration.advertisedAddress ?? address)"
    }
    if let file = configuration.addressFile {
      do {
        try Data("\(address)\n".utf8).write(to: URL(fileURLWithPath: file), options: .atomic)
      } catch {
        throw NodeError(
          .unknown, reason: "address_file",
          "the address cannot be written to \(file): \(Problem.reason(of: error))",
          remedy: "name a file in a folder that is there and may be written to")
      }
    }
    logger.info(
      "listening on \(address) as \(core.role.rawValue)",
      metadata: ["catalog_version": "\(core.store.current.version)"])
    configuration.onListening(address)
  }
}

extension NodeCore {
  /// Wakes those who wait when a deadline of theirs is past; runs until it is cancelled.
  fileprivate func keepTime() async throws {
    while true {
      try await Task.sleep(for: .milliseconds(20))
      let now = clock.now()
      waits.tick(now)
      changes.tick(now)
      leads.tick(now)
    }
  }

  /// Wakes those who wait for what the store publishes, off the store's own thread; runs until it is
  /// cancelled.
  fileprivate func passOnPublications() async {
    for await _ in store.changes() { published() }
  }
}

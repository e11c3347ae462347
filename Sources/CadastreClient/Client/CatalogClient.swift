@_exported import Catalog
@_exported import StateMachines
import Synchronization

/// A catalog, as a program that uses it sees it: who owns a key is answered in this process, from
/// routes that are kept in step with the nodes'.
///
/// While ``run()`` runs, the client watches one node, of its own region where there is one, and goes
/// over to another when that fails. It shows no routes that a node's digest has not vouched for, and
/// its version never goes back. ``staleness`` says how long ago it knew that it had everything.
///
/// ```swift
/// let client = try CatalogClient(nodes: [CatalogEndpoint(try NodeAddress("127.0.0.1:7070"))])
/// try await client.whileRunning { client in
///   let route = try await client.resolve(try Key(text: "house"))  // Here, or asked of a node.
///   let owner = client.owner(of: try Key(text: "house"))  // Here, in well under a microsecond.
/// }
/// ```
public final class CatalogClient: Sendable {
  /// How a client is set up.
  public struct Options: Sendable {
    /// The region that this program runs in: nodes there are asked first.
    public var region: Region?
    /// Which routes are kept here. Keeping fewer costs less, of memory and of what nodes send; but
    /// nodes send no digest of them, so that the client takes their word for it, as far as the routes
    /// fit together. Keys outside of a span are not asked about: see
    /// ``CatalogClientError/Kind/outsideSpan``.
    public var watching = WatchFilter.all
    /// How connections are kept and secured.
    public var connection = ConnectionOptions()
    /// How it tries again.
    public var retry = RetryPolicy()
    /// How often it asks how far the node has come, which bounds the staleness it can state.
    public var probeInterval: Duration = .seconds(1)
    /// How long the watched node may say nothing before another is watched.
    public var silenceLimit: Duration = .seconds(6)
    /// Whether ``CatalogClient/resolve(_:_:deadline:)`` answers with nothing older than what this client
    /// has written, or was told of when a command was refused.
    public var readsItsWrites = true
    /// Is told each version that lookups have begun to see, in order; not to wait in. With a filter
    /// versions that change nothing of what is kept may be left out.
    public var onUpdate: @Sendable (CatalogSnapshot) -> Void = { _ in }
    /// The time.
    public var clock: ClientClock = .system

    /// The options with the values above.
    public init() {}
  }

  let endpoints: [CatalogEndpoint]
  let options: Options
  let nodes: [NodeClient]
  /// Whether no routes are left out.
  let watchesAll: Bool
  let published = PublishedTable()
  /// What lookups are answered from where some routes are left out.
  let filtered = Mutex<CatalogSnapshot?>(nil)
  let state: Mutex<State>

  /// What the tasks of a client share; lookups do not touch it.
  struct State: Sendable {
    var choice: NodeChoice
    var budget: RetryBudget
    var generator: AnyGenerator
    var freshness = TableFreshness()
    /// What reads must not be older than.
    var floor = CatalogVersion.zero
    /// The node that decides commands, where it is one of ours.
    var leader: Int?
    var watched: Int?
    var resets: UInt64 = 0
    var lastError = ""
  }

  /// Makes a client; ``run()`` connects it. The nodes may come in any order: learners, and the leader
  /// or learners that reach it. The generator draws pauses, nodes and ids.
  ///
  /// - Throws: ``CatalogClientError`` when there are none, or an address cannot be connected to.
  public init(
    nodes endpoints: [CatalogEndpoint], _ options: Options = Options(),
    generator: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()
  ) throws(CatalogClientError) {
    guard !endpoints.isEmpty else {
      throw CatalogClientError(.invalid, "no node was named", remedy: "name one at the least")
    }
    self.endpoints = endpoints
    self.options = options
    watchesAll = options.watching == .all
    var nodes: [NodeClient] = []
    for endpoint in endpoints {
      do {
        nodes.append(try NodeClient(endpoint.address, connection: options.connection))
      } catch {
        throw CatalogClientError(error)
      }
    }
    self.nodes = nodes
    state = Mutex(
      State(
        choice: NodeChoice(endpoints, home: options.region, policy: options.retry),
        budget: RetryBudget(options.retry), generator: AnyGenerator(generator)))
  }

  /// Keeps connections and routes until the task is cancelled.
  public func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for node in nodes { group.addTask { try await node.run() } }
      group.addTask { try await self.keepWatching() }
      group.addTask { try await self.keepProbing() }
      defer { group.cancelAll() }
      try await group.waitForAll()
    }
  }

  /// Runs the client for as long as `body` takes.
  public func whileRunning<Result: Sendable>(
    _ body: @Sendable (CatalogClient) async throws -> Result
  ) async throws -> Result {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.run() }
      defer { group.cancelAll() }
      return try await body(self)
    }
  }
}

extension CatalogClient {
  /// Who owns `key`, as the routes are here; nil while there are none, and for a key whose route
  /// ``Options/watching`` leaves out. Waits for nothing, and asks nobody. O(log *n*).
  public func owner(of key: Key) -> RouteOwner? {
    key.bytes.withUnsafeBytes { owner(ofBytes: $0) }
  }

  /// Like ``owner(of:)`` for the bytes of a key, which are lent.
  public func owner(ofBytes key: UnsafeRawBufferPointer) -> RouteOwner? {
    watchesAll ? published.owner(of: key) : snapshot?.owner(ofBytes: key)
  }

  /// All routes as they are here; nil while there are none. For many lookups at one version.
  public var snapshot: CatalogSnapshot? {
    watchesAll
      ? published.current.map(CatalogSnapshot.init) : filtered.withLock { $0 }
  }

  /// The version of the routes here; nil while there are none.
  public var version: CatalogVersion? {
    watchesAll ? published.version : filtered.withLock { $0?.version }
  }

  /// How long ago the routes here were known to be all that there was; nil when they never were. An
  /// upper bound, which grows while no node can be reached.
  public var staleness: Duration? {
    let now = options.clock.now()
    return state.withLock { $0.freshness.staleness(at: now) }
  }

  /// What the client is about.
  public var status: CatalogClientStatus {
    let (version, now) = (version, options.clock.now())
    return state.withLock { state in
      CatalogClientStatus(
        version: version, staleness: state.freshness.staleness(at: now),
        watched: state.watched.map { endpoints[$0] },
        ejected: endpoints.indices.filter { state.choice.isEjected($0) }.map { endpoints[$0] },
        resets: state.resets, lastError: state.lastError)
    }
  }

  /// A new id for a command.
  public func makeCommandID() -> CommandID {
    let bytes = state.withLock { state in
      (0..<CommandID.byteCount).map { _ in UInt8.random(in: 0...255, using: &state.generator) }
    }
    guard let id = CommandID(bytes: bytes) else { preconditionFailure("as many bytes as it has") }
    return id
  }
}

/// What a ``CatalogClient`` is about.
public struct CatalogClientStatus: Sendable {
  /// The version of its routes; nil while it has none.
  public var version: CatalogVersion?
  /// How long ago they were known to be all that there was.
  public var staleness: Duration?
  /// The node that tells it of changes.
  public var watched: CatalogEndpoint?
  /// The nodes that failed so often that they are left alone for a while.
  public var ejected: [CatalogEndpoint]
  /// How often it took over all routes, the first time included.
  public var resets: UInt64
  /// What last went wrong with the watch; empty since it goes well.
  public var lastError: String
}

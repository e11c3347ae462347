import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Logging
import Replay
import StateMachines
import Synchronization
import TestSupport
import Testing

@testable import Node

/// A node of a test's own, in this process, with real gRPC on a free port of the loopback.
final class TestNode: Sendable {
  /// What it was started as.
  let role: NodeConfiguration.Role
  let address: NodeAddress
  let folder: String
  /// A client of this node.
  let client: NodeClient
  let core: NodeCore
  private let service: NodeService
  private let serving: Task<Void, any Error>
  private let connecting: Task<Void, any Error>

  /// Starts a node over the log in `folder` and waits until it listens.
  init(
    _ role: NodeConfiguration.Role, folder: String, port: Int = 0, region: String? = nil,
    _ configure: (inout NodeConfiguration) -> Void = { _ in }
  ) async throws {
    var configuration = NodeConfiguration(
      role: role, folder: folder, listen: NodeAddress(host: "127.0.0.1", port: port))
    configuration.region = try region.map { try Region($0) }
    configuration.following.probeInterval = .milliseconds(20)
    configuration.following.firstPause = .milliseconds(5)
    configuration.following.maximumPause = .milliseconds(50)
    configuration.following.haltedPause = .milliseconds(50)
    configuration.gracePeriod = .seconds(5)
    configure(&configuration)
    let (addresses, listening) = AsyncStream.makeStream(of: NodeAddress.self)
    configuration.onListening = { listening.yield($0) }
    let service = NodeService(
      configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let serving = Task {
      defer { listening.finish() }
      try await service.run()
    }
    guard let address = await addresses.first(where: { _ in true }), let core = service.core else {
      try await serving.value
      throw NodeError(.unavailable, "the node ended before it listened")
    }
    self.role = configuration.role
    self.address = address
    self.folder = folder
    self.service = service
    self.serving = serving
    self.core = core
    // Trusted, and let in, like the node itself where it calls others.
    var connection = ConnectionOptions()
    connection.security = configuration.connection.security
    let client = try NodeClient(address, connection: connection)
    self.client = client
    connecting = Task { try await client.run() }
  }

  /// A leader of a new catalog without routes.
  static func leader(
    _ folder: TemporaryFolder, port: Int = 0, on log: LogKind = .lmdb,
    _ configure: (inout NodeConfiguration) -> Void = { _ in }
  ) async throws -> TestNode {
    let path = folder.appending("leader")
    try EventLog.create(folder: path, catalog: testCatalog).releaseForWriting()
    return try await leading(try log.role(), folder: path, port: port, configure)
  }

  /// A node that leads, of the catalog in `folder`, once it does.
  static func leading(
    _ role: NodeConfiguration.Role, folder: String, port: Int = 0,
    _ configure: (inout NodeConfiguration) -> Void = { _ in }
  ) async throws -> TestNode {
    let node = try await TestNode(role, folder: folder, port: port, configure)
    do {
      // A member takes the lead after it has begun to listen.
      try await until { node.core.role == .leader }
    } catch {
      try? await node.stop()
      throw error
    }
    return node
  }

  /// A learner that has made its log, and has yet to hear of its leader.
  static func newLearner(
    _ folder: TemporaryFolder, of leader: NodeAddress, region: String? = nil
  ) async throws -> TestNode {
    let path = folder.appending("learner")
    do {
      let log = try EventLog.create(folder: path, catalog: testCatalog)
      defer { log.releaseForWriting() }
      try log.setKeeper(.mirrored)
    }
    return try await TestNode(.learner(of: leader), folder: path, region: region)
  }

  /// Shuts down in good order.
  func stop() async throws {
    client.shutdown()
    service.beginShutdown()
    try await serving.value
    connecting.cancel()
  }
}

/// Runs a leader for as long as `body` takes. A failure in `body` still stops it.
func withLeader(
  on log: LogKind = .lmdb,
  _ configure: (inout NodeConfiguration) -> Void = { _ in },
  _ body: (TestNode) async throws -> Void
) async throws {
  let folder = TemporaryFolder()
  let leader = try await TestNode.leader(folder, on: log, configure)
  try await withNode(leader, body)
  withExtendedLifetime(folder) {}
}

/// Stops `node` after `body`.
func withNode(_ node: TestNode, _ body: (TestNode) async throws -> Void) async throws {
  do {
    try await body(node)
  } catch {
    try? await node.stop()
    throw error
  }
  try await node.stop()
}

/// A folder of a test's own, which goes when the test does.
final class TemporaryFolder: Sendable {
  let path: String

  init() {
    path =
      FileManager.default.temporaryDirectory
      .appending(path: "cadastre-node-\(UUID().uuidString)").path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func appending(_ name: String) -> String { path + "/" + name }
}

let testCatalog = CatalogID.named("test catalog 001")

extension CatalogID {
  /// - Precondition: Sixteen bytes.
  static func named(_ text: String) -> CatalogID {
    guard let id = CatalogID(bytes: Array(text.utf8)) else { preconditionFailure("not 16 bytes") }
    return id
  }
}

private let commandNumbers = Atomic<UInt64>(0)

extension Command {
  /// A command under an id that no other command of this process has.
  static func test(
    _ change: RouteChange, expecting version: CatalogVersion? = nil, id: CommandID? = nil
  ) -> Command {
    Command(
      id: id ?? .fresh(), expectedVersion: version, actor: "test", reason: "a test", change: change)
  }
}

extension CommandID {
  static func fresh() -> CommandID {
    let number = commandNumbers.add(1, ordering: .relaxed).newValue
    let bytes = [UInt8](repeating: 0, count: 8) + withUnsafeBytes(of: number.bigEndian, Array.init)
    guard let id = CommandID(bytes: bytes) else { preconditionFailure("sixteen bytes") }
    return id
  }
}

/// One route of group 1 over all keys.
let oneRoute = RouteChange.bootstrap([RouteSeedRequest(start: .least, group: GroupID(1))])

/// Cuts at these keys, whichever routes hold them.
func split(_ texts: String...) -> RouteChange {
  .split(texts.map { SplitRequest(at: Key($0)) })
}

/// Routes of group `index + 1` that start at the empty key and at each of `texts`.
func bootstrap(_ texts: String...) -> RouteChange {
  .bootstrap(
    ([""] + texts).enumerated().map { index, text in
      RouteSeedRequest(start: Key(text), group: GroupID(UInt64(index) + 1))
    })
}

/// What a call was refused with.
func refusal(_ call: () async throws -> some Any) async -> NodeError? {
  do {
    _ = try await call()
    return nil
  } catch {
    return NodeError(any: error)
  }
}

/// Waits until a node has published `version`.
func reach(_ node: TestNode, _ version: CatalogVersion) async throws {
  _ = try await node.core.store.wait { $0.version >= version }
}

/// What did not come about, by where it is waited for: the limit of a test does not tell.
struct WaitedTooLong: Error, CustomStringConvertible {
  let place: SourceLocation

  var description: String { "what \(place) waits for did not come about within two minutes" }
}

/// Waits for a condition that nothing announces, on a machine that may be slow.
///
/// - Throws: ``WaitedTooLong``, and what `condition` throws.
func until(
  _ place: SourceLocation = #_sourceLocation, _ condition: () async throws -> Bool
) async throws {
  let end = ContinuousClock.now + .seconds(120)
  while try await !condition() {
    guard ContinuousClock.now < end else { throw WaitedTooLong(place: place) }
    try await Task.sleep(for: .milliseconds(2))
  }
}

/// Random changes of a catalog's routes, which are known to be allowed.
struct ChangeMaker {
  var generator: SeededGenerator

  /// The next change of `routes`.
  mutating func next(_ routes: RouteTable) -> RouteChange {
    let all = routes.routes(overlapping: .all)
    let index = Int.random(in: 0..<all.count, using: &generator)
    let route = all[index]
    switch Int.random(in: 0..<10, using: &generator) {
    case 0..<6:
      let keys = (0..<Int.random(in: 1...4, using: &generator)).map { _ in
        SplitRequest(at: Key.random(length: 1...6, using: &generator))
      }
      return .split(keys)
    case 6..<8 where index + 1 < all.count && all[index + 1].group == route.group:
      return .merge([MergeRequest(left: route.id, right: all[index + 1].id)])
    default:
      return .move([route.id], to: GroupID(.random(in: 1...3, using: &generator)))
    }
  }
}

/// What it takes until streams of regions are enabled in a catalog without members.
func enablingRegionStreams(member: MemberName, region: Region) -> [MembershipChange] {
  [
    .enable(.members), .join(member, address: "", region: region, capabilities: .known),
    .enable(.regionStreams),
  ]
}

/// Enables streams of regions in a catalog that nobody serves.
func enableRegionStreams(
  in folder: String, member: String = "node", region: String = "tokyo"
) async throws {
  let writer = try FolderWriter(folder: folder)
  defer { writer.close() }
  let changes = enablingRegionStreams(
    member: try MemberName(member), region: try Region(region))
  for change in changes {
    _ = try await writer.submit(
      Command(id: .fresh(), actor: "test", reason: "a test", change: .membership(change)))
  }
}

/// Leaders of a test's own have no streams of regions.
extension Cadastre_V1_Replication.SimpleServiceProtocol {
  func fetchRegionState(
    request: Cadastre_V1_FetchRegionStateRequest,
    response: RPCWriter<Cadastre_V1_FetchRegionStateResponse>, context: ServerContext
  ) async throws {
    throw RPCError(code: .unimplemented, message: "no streams of regions here")
  }
}

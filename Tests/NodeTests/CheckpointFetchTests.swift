import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Replay
import StateMachines
import Synchronization
import TestSupport
import Testing

@testable import Node

/// Learners that start from the nodes of their leader's checkpoint.
@Suite(.timeLimit(.minutes(5))) struct CheckpointFetchTests {
  /// A leader whose log begins after a state of many routes, with a checkpoint and some entries
  /// behind it.
  private func leader(_ folder: TemporaryFolder) async throws -> TestNode {
    var state = CatalogState(catalog: testCatalog)
    let seeds = (0..<600).map { number in
      RouteSeedRequest(
        start: number == 0 ? .least : Key("key number \(1000 + number)"),
        group: GroupID(UInt64(number % 5)))
    }
    _ = try state.propose(.test(.bootstrap(seeds)), time: state.lastTime.next)
    let log = try EventLog.create(folder: folder.appending("leader"), catalog: testCatalog)
    try log.install(base: state)
    log.releaseForWriting()
    let leader = try await TestNode(.leader, folder: folder.appending("leader")) {
      $0.limits.messageByteCount = 1000
    }
    try await leader.client.submit(.test(split("a")))
    try await leader.core.store.checkpointNow()
    try await leader.client.submit(.test(split("b")))
    return leader
  }

  /// Runs a learner of a leader that sends checkpoints through `fault`, until it has all.
  private func withLearner(
    of leader: TestNode, in folder: TemporaryFolder,
    _ fault: @escaping @Sendable (inout Wire.FetchCheckpointResponse, Int, Int) throws -> Void,
    _ body: (TestNode, FaultySender) async throws -> Void
  ) async throws {
    let sender = FaultySender(leader.core, fault)
    let server = NodeServer(
      listen: NodeAddress(host: "127.0.0.1", port: 0),
      services: [ReadsService(leader.core), sender])
    let serving = Task { try await server.serve() }
    let address = try #require(await server.address)
    let learner = try await TestNode(.learner(of: address), folder: folder.appending("learner"))
    try await withNode(learner) { learner in
      try await reach(learner, leader.core.store.current.version)
      #expect(learner.core.store.current.header == leader.core.store.current.header)
      #expect(
        learner.core.store.current.routes.routes(overlapping: .all)
          == leader.core.store.current.routes.routes(overlapping: .all))
      // The commands from before the checkpoint came too, with what was asked for.
      let root = try #require(try leader.core.store.checkpoints?.roots().last)
      let known = try learner.core.store.commandWindow(through: root.position)
      #expect(!known.isEmpty)
      #expect(try known == leader.core.store.commandWindow(through: root.position))
      let incoming = folder.appending("learner/" + CheckpointIntake.folderName)
      #expect(!FileManager.default.fileExists(atPath: incoming))
      try await body(learner, sender)
    }
    server.beginShutdown()
    serving.cancel()
  }

  @Test func aFetchThatIsCutOffGoesOn() async throws {
    let folder = TemporaryFolder()
    try await withNode(try await leader(folder)) { leader in
      let root = try #require(try leader.core.store.checkpoints?.roots().last)
      try await withLearner(of: leader, in: folder) { _, attempt, count in
        // Two nodes more each time, and the first time not even one.
        if attempt < 3, count > attempt * 2 { throw NodeError(.unavailable, "cut off") }
      } _: { learner, sender in
        let requests = sender.requests.withLock { $0 }
        #expect(requests.count == 4)
        #expect(
          requests.map(\.version) == [0] + [UInt64](repeating: root.version.rawValue, count: 3))
        #expect(requests[1].afterNode == 0)
        #expect(requests[2].afterNode > 0 && requests[3].afterNode > requests[2].afterNode)
        let first = try learner.core.store.firstPosition()
        #expect(first == root.position.next)
      }
    }
  }

  /// A byte that is changed on the way, anywhere, is found before anything is taken over.
  @Test func aDamagedNodeIsNotTakenOver() async throws {
    for seed in testSeeds(count: 3) {
      let folder = TemporaryFolder()
      try await withNode(try await leader(folder)) { leader in
        try await withLearner(of: leader, in: folder) { message, attempt, count in
          guard attempt == 0, count > 0, var node = message.nodes.nodes.first else { return }
          var generator = SeededGenerator(seed: seed &+ UInt64(count))
          guard generator.oneIn(10) || count == 30 else { return }
          let offset = Int.random(in: 0..<node.data.count, using: &generator)
          node.data[offset] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
          message.nodes.nodes[0] = node
        } _: { _, sender in
          // Asked for anew, from the first node on.
          let requests = sender.requests.withLock { $0 }
          #expect(requests.count == 2, "seed \(seed)")
          #expect(requests.last?.version == 0 && requests.last?.afterNode == 0, "seed \(seed)")
        }
      }
    }
  }

  /// A leader without a checkpoint makes one for whoever asks.
  @Test func aCheckpointIsMadeForALearner() async throws {
    let folder = TemporaryFolder()
    try await withNode(try await leader(folder)) { leader in
      let checkpoints = try #require(leader.core.store.checkpoints)
      for root in try checkpoints.roots() { try checkpoints.dropRoot(root.version) }
      try await withLearner(of: leader, in: folder) { _, _, _ in
      } _: { learner, _ in
        let root = try #require(try checkpoints.roots().last)
        #expect(root.header == leader.core.store.current.header)
        let first = try learner.core.store.firstPosition()
        #expect(first == root.position.next)
      }
    }
  }
}

/// A leader's replication service whose checkpoints do not all arrive as they were sent.
private final class FaultySender: Cadastre_V1_Replication.SimpleServiceProtocol {
  typealias Fault = @Sendable (inout Wire.FetchCheckpointResponse, Int, Int) throws -> Void

  let requests = Mutex<[Wire.FetchCheckpointRequest]>([])
  private let service: ReplicationService
  /// Gets each message with the number of the request and that of the message in its stream.
  private let fault: Fault

  init(_ core: NodeCore, _ fault: @escaping Fault) {
    service = ReplicationService(core)
    self.fault = fault
  }

  func fetchCheckpoint(
    request: Wire.FetchCheckpointRequest, response: RPCWriter<Wire.FetchCheckpointResponse>,
    context: ServerContext
  ) async throws {
    let attempt = requests.withLock { requests in
      requests.append(request)
      return requests.count - 1
    }
    let writer = Writer(next: response, attempt: attempt, fault: fault)
    try await service.fetchCheckpoint(
      request: request, response: RPCWriter(wrapping: writer), context: context)
  }

  func fetchState(
    request: Wire.FetchStateRequest, response: RPCWriter<Wire.FetchStateResponse>,
    context: ServerContext
  ) async throws {
    Issue.record("the learner asked for a state")
  }

  func fetchMembers(
    request: Wire.FetchMembersRequest, response: RPCWriter<Wire.FetchMembersResponse>,
    context: ServerContext
  ) async throws {
    throw NodeError(.unimplemented, "this leader has no members")
  }

  func follow(
    request: RPCAsyncSequence<Wire.FollowRequest, any Error>,
    response: RPCWriter<Wire.FollowResponse>, context: ServerContext
  ) async throws {
    try await service.follow(request: request, response: response, context: context)
  }

  private final class Writer: RPCWriterProtocol {
    typealias Element = Wire.FetchCheckpointResponse

    private let next: RPCWriter<Element>
    private let attempt: Int
    private let fault: Fault
    private let count = Mutex(0)

    init(next: RPCWriter<Element>, attempt: Int, fault: @escaping Fault) {
      self.next = next
      self.attempt = attempt
      self.fault = fault
    }

    func write(_ element: Element) async throws {
      var element = element
      let number = count.withLock { count in
        defer { count += 1 }
        return count
      }
      try fault(&element, attempt, number)
      try await next.write(element)
    }

    func write(contentsOf elements: some Sequence<Element>) async throws {
      for element in elements { try await write(element) }
    }
  }
}

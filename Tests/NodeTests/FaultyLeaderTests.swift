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

/// What a learner does with a leader that sends it what it should not.
@Suite(.timeLimit(.minutes(5))) struct FaultyLeaderTests {
  /// A history of six entries, and the states after each, the first being the empty one.
  private struct History {
    var entries: [EncodedEntry] = []
    var states: [CatalogState]

    init() throws {
      var state = CatalogState(catalog: testCatalog)
      states = [state]
      for change in [bootstrap("g", "p"), split("k"), split("b", "x"), split("c"), split("d")] {
        guard
          case .append(let entry) = try state.propose(.test(change), time: state.lastTime.next)
        else { preconditionFailure("the change appends") }
        entries.append(entry)
        states.append(state)
      }
    }
  }

  /// Runs a learner of a leader that sends `history` with `fault` in it, and checks all the while
  /// that nothing is published but what the history made.
  private func withLearner(
    of history: History, vouching: Bool = false,
    fault: @escaping @Sendable ([[UInt8]], Int) -> [[UInt8]],
    _ body: (TestNode, FaultyLeader) async throws -> Void
  ) async throws {
    let folder = TemporaryFolder()
    let leader = FaultyLeader(
      history.entries.map(\.bytes), hashes: vouching ? history.entries.map(\.hash) : [],
      fault: fault)
    let server = NodeServer(listen: NodeAddress(host: "127.0.0.1", port: 0), services: [leader])
    let serving = Task { try await server.serve() }
    let address = try #require(await server.address)
    try EventLog.create(folder: folder.appending("learner"), catalog: testCatalog)
      .releaseForWriting()
    let learner = try await TestNode(.learner(of: address), folder: folder.appending("learner"))
    let checking = Task {
      for await _ in learner.core.store.changes() {
        let state = learner.core.store.current
        #expect(state.header == history.states[Int(state.appliedThrough.rawValue)].header)
      }
    }
    try await withNode(learner) { try await body($0, leader) }
    await checking.value
    server.beginShutdown()
    serving.cancel()
  }

  /// Waits until the learner has taken over all that it can and complains of `complaint`.
  private func complains(_ learner: TestNode, _ complaint: String) async throws {
    try await until {
      try await learner.client.status().learner?.lastError.contains(complaint) == true
    }
  }

  @Test func aDamagedEntryIsNotTakenOver() async throws {
    let history = try History()
    try await withLearner(of: history) { entries, position in
      var entries = entries
      if position <= 2 { entries[2 - position][3] ^= 0x40 }
      return entries
    } _: { learner, leader in
      try await reach(learner, CatalogVersion(2))
      try await until { try await learner.client.status().learner?.lastError.isEmpty == false }
      #expect(learner.core.store.current.version == CatalogVersion(2))
      let read = try await learner.client.resolve(Key("h"))
      #expect(read.stamp.version == CatalogVersion(2))
      leader.mend()
      try await reach(learner, CatalogVersion(5))
    }
  }

  @Test func aForgedEntryIsNotTakenOver() async throws {
    let history = try History()
    var forged = history.entries[2].entry
    // In good order by itself, and chained to what came before; but not what the digest says.
    forged.events = [
      .routeMoved(route: RouteID(1), start: .least, from: GroupID(1), to: GroupID(66))
    ]
    let bytes = try EncodedEntry(forged).bytes
    try await withLearner(of: history) { entries, position in
      var entries = entries
      if position <= 2 { entries[2 - position] = bytes }
      return entries
    } _: { learner, leader in
      try await complains(learner, "digest")
      #expect(learner.core.store.current.version == CatalogVersion(2))
      leader.mend()
      try await reach(learner, CatalogVersion(5))
    }
  }

  @Test func anEntryOfAnotherChainIsNotTakenOver() async throws {
    let history = try History()
    var foreign = history.entries[2].entry
    foreign.previous = history.entries[0].hash
    let bytes = try EncodedEntry(foreign).bytes
    try await withLearner(of: history) { entries, position in
      var entries = entries
      if position <= 2 { entries[2 - position] = bytes }
      return entries
    } _: { learner, leader in
      try await complains(learner, "another history")
      #expect(learner.core.store.current.version == CatalogVersion(2))
      leader.mend()
      try await reach(learner, CatalogVersion(5))
    }
  }

  @Test func aGapIsAskedForAgain() async throws {
    let history = try History()
    try await withLearner(of: history) { entries, position in
      position == 0 ? Array(entries[0..<2] + entries[3...]) : entries
    } _: { learner, _ in
      try await reach(learner, CatalogVersion(5))
      #expect((try await learner.client.status().learner?.reconnects ?? 0) > 0)
    }
  }

  @Test func anyDamagedByteLeavesAProvenState() async throws {
    for seed in testSeeds(count: 12) {
      var generator = SeededGenerator(seed: seed)
      let history = try History()
      let victim = Int.random(in: 0..<history.entries.count, using: &generator)
      let offset = Int.random(in: 0..<history.entries[victim].bytes.count, using: &generator)
      let bit = UInt8(1) << UInt8.random(in: 0..<8, using: &generator)
      // The command's id, the actor and the reason are vouched for by the next entry's hash, and in
      // the newest by what the leader says of it.
      try await withLearner(of: history, vouching: true) { entries, position in
        var entries = entries
        if position <= victim { entries[victim - position][offset] ^= bit }
        return entries
      } _: { learner, leader in
        try await until { try await learner.client.status().learner?.lastError.isEmpty == false }
        #expect(learner.core.store.current.version.rawValue == UInt64(victim), "seed \(seed)")
        leader.mend()
        try await reach(learner, CatalogVersion(5))
      }
    }
  }
}

extension FaultyLeaderTests {
  @Test func aLeaderThatSaysNothingIsLeft() async throws {
    let folder = TemporaryFolder()
    let server = NodeServer(
      listen: NodeAddress(host: "127.0.0.1", port: 0), services: [SilentLeader()])
    let serving = Task { try await server.serve() }
    let address = try #require(await server.address)
    try EventLog.create(folder: folder.path, catalog: testCatalog).releaseForWriting()
    let learner = try await TestNode(.learner(of: address), folder: folder.path) {
      $0.following.silenceLimit = .milliseconds(100)
    }
    try await withNode(learner) { learner in
      try await until {
        let status = try await learner.client.status().learner
        return status?.lastError.contains("nothing was heard") == true
          && status?.reconnects ?? 0 > 1
      }
    }
    server.beginShutdown()
    serving.cancel()
  }
}

/// Takes connections and answers nothing.
private struct SilentLeader: Cadastre_V1_Replication.SimpleServiceProtocol {
  func fetchCheckpoint(
    request: Wire.FetchCheckpointRequest, response: RPCWriter<Wire.FetchCheckpointResponse>,
    context: ServerContext
  ) async throws {
    throw NodeError(.unimplemented, "this leader has no checkpoints")
  }

  func fetchState(
    request: Wire.FetchStateRequest, response: RPCWriter<Wire.FetchStateResponse>,
    context: ServerContext
  ) async throws {}

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
    for try await _ in request {}
  }
}

/// A leader's replication service that sends entries with a fault in them, until it is mended.
private final class FaultyLeader: Cadastre_V1_Replication.SimpleServiceProtocol {
  private let entries: [[UInt8]]
  /// What it says that the entries hash to; empty when it says nothing.
  private let hashes: [EntryHash]
  private let fault: @Sendable ([[UInt8]], Int) -> [[UInt8]]
  private let isMended = Atomic(false)

  init(
    _ entries: [[UInt8]], hashes: [EntryHash],
    fault: @escaping @Sendable ([[UInt8]], Int) -> [[UInt8]]
  ) {
    self.entries = entries
    self.hashes = hashes
    self.fault = fault
  }

  func mend() { isMended.store(true, ordering: .sequentiallyConsistent) }

  func fetchCheckpoint(
    request: Wire.FetchCheckpointRequest, response: RPCWriter<Wire.FetchCheckpointResponse>,
    context: ServerContext
  ) async throws {
    throw NodeError(.unimplemented, "this leader has no checkpoints")
  }

  func fetchState(
    request: Wire.FetchStateRequest, response: RPCWriter<Wire.FetchStateResponse>,
    context: ServerContext
  ) async throws {
    throw NodeError(.unimplemented, "this leader has entries only")
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
    for try await message in request {
      let count = UInt64(entries.count)
      let here = Wire.Heartbeat.with {
        $0.position = count
        $0.version = count
        $0.probe = message.progress.probe
        $0.stalenessMs = 0
      }
      guard case .start(let start) = message.kind else {
        try await response.write(.with { $0.heartbeat = here })
        continue
      }
      try await response.write(
        .with {
          $0.started.catalogID = start.catalogID
          $0.started.leader = here
        })
      let position = Int(start.afterPosition)
      var rest = Array(entries[position...])
      if !isMended.load(ordering: .sequentiallyConsistent), !rest.isEmpty {
        rest = fault(rest, position)
      }
      for (index, entry) in rest.enumerated() {
        let hash = hashes.isEmpty ? Data() : Data(hashes[position + index].bytes)
        try await response.write(
          .with {
            $0.entries.entries = [Data(entry)]
            $0.entries.leader = here
            $0.entries.lastHash = hash
          })
      }
    }
  }
}

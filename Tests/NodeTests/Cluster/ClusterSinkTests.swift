import CadastreClient
import CadastreProtocol
import Catalog
import GRPCCore
import Logging
import Replay
import StateMachines
import Synchronization
import TestSupport
import Testing

@testable import Node

/// Where a member sends commands while it does not lead, with leaders of a test's own.
@Suite(.timeLimit(.minutes(5))) struct ClusterSinkTests {
  private static func leader(_ name: String, term: UInt64) throws -> LeaderRecord {
    LeaderRecord(
      member: ClusterMember(name: try MemberName(name), address: "\(name):1"),
      term: ClusterTerm(term))
  }

  /// A member that does not lead, with its waits kept.
  private func withCore(_ body: (NodeCore) async throws -> Void) async throws {
    let folder = TemporaryFolder()
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: StoreOptions(role: .learner),
      wallMilliseconds: NodeClock.system.wallMilliseconds)
    defer { store.close() }
    let core = NodeCore(
      role: .learner, region: "", store: store, clock: .system, limits: NodeLimits(),
      leaderAddress: "", cluster: ClusterStatus(stream: "test", member: "me"),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let ticking = Task {
      while true {
        try await Task.sleep(for: .milliseconds(5))
        core.leads.tick(core.clock.now())
      }
    }
    defer { ticking.cancel() }
    try await body(core)
  }

  private static func receipt(_ command: Command) -> CommandReceipt {
    CommandReceipt(
      command: command.id, outcome: .appended, position: LogPosition(1),
      version: CatalogVersion(1), newRoutes: [])
  }

  /// Sends commands at the same time, each with a deadline, and gives the answers and the longest wait.
  private func send(
    _ count: Int, to sink: ClusterSink, timeout: Duration
  ) async -> (answers: [Result<CommandReceipt, NodeError>], longest: Duration) {
    await withTaskGroup(of: (Result<CommandReceipt, NodeError>, Duration).self) { group in
      for _ in 0..<count {
        group.addTask {
          let start = NodeClock.system.now()
          let answer: Result<CommandReceipt, NodeError>
          do throws(NodeError) {
            answer = .success(
              try await sink.submit(.test(split("m")), timeout: timeout, hops: 0))
          } catch {
            answer = .failure(error)
          }
          return (answer, NodeClock.system.now() - start)
        }
      }
      return await group.reduce(into: ([], .zero)) { all, one in
        all.answers.append(one.0)
        all.longest = max(all.longest, one.1)
      }
    }
  }

  @Test func aThousandCallersHardlyCallALeaderThatIsDead() async throws {
    try await withCore { core in
      let calls = Atomic(0)
      let sink = ClusterSink(
        core, member: try MemberName("me"), options: CircuitBreaker.Options(),
        forwardTimeout: .seconds(30)
      ) { (_, _, _, _) throws(NodeError) in
        calls.add(1, ordering: .relaxed)
        try? await Task.sleep(for: .milliseconds(20))
        throw NodeError(.unavailable, "nobody listens")
      }
      sink.point(to: try Self.leader("dead", term: 1))
      let start = core.clock.now()
      let (answers, longest) = await send(1_000, to: sink, timeout: .seconds(10))
      let took = core.clock.now() - start
      #expect(answers.count == 1_000)
      for answer in answers {
        guard case .failure(let error) = answer else {
          Issue.record("\(answer)")
          continue
        }
        #expect(error.reason == "leader_unavailable")
        #expect(error.detail?.leaderAddress == "dead:1")
        #expect(error.detail?.remedy.contains("same command id") == true)
      }
      #expect(longest < .seconds(10))
      // Three, and one for each pause that can have ended meanwhile.
      let probes = took / .milliseconds(100)
      #expect(calls.load(ordering: .relaxed) <= 3 + Int(probes))
    }
  }

  @Test func aThousandCallersWaitForALeaderAndFindIt() async throws {
    try await withCore { core in
      let calls = Mutex<[String: Int]>([:])
      let (dead, alive) = (try Self.leader("dead", term: 1), try Self.leader("alive", term: 2))
      let sink = ClusterSink(
        core, member: try MemberName("me"), options: CircuitBreaker.Options(),
        forwardTimeout: .seconds(30)
      ) { (leader, command, _, hops) throws(NodeError) in
        calls.withLock { $0[leader.member.name.name, default: 0] += 1 }
        #expect(hops == 1)
        guard leader == alive else { throw NodeError(.unavailable, "nobody listens") }
        return Self.receipt(command)
      }
      // Nobody leads at first.
      async let sent = send(1_000, to: sink, timeout: .seconds(20))
      try await Task.sleep(for: .milliseconds(50))
      let early = calls.withLock { $0.count }
      #expect(early == 0)
      sink.point(to: alive)
      let (answers, _) = await sent
      #expect(answers.allSatisfy { if case .success = $0 { true } else { false } })
      let found = calls.withLock { $0 }
      #expect(found == ["alive": 1_000])
      // One that is dead is called no more once another is known.
      sink.point(to: dead)
      let refused = await refusal {
        try await sink.submit(.test(split("m")), timeout: .seconds(5), hops: 0)
      }
      #expect(refused?.reason == "leader_unavailable")
      let tries = calls.withLock { $0["dead"] }
      #expect(tries == 3)
      sink.point(to: alive)
      _ = try await sink.submit(.test(split("m")), timeout: .seconds(5), hops: 0)
      let last = calls.withLock { $0 }
      #expect(last == ["alive": 1_001, "dead": 3])
    }
  }

  @Test func waitingEndsWithTheCallersPatience() async throws {
    try await withCore { core in
      let sink = ClusterSink(
        core, member: try MemberName("me"), options: CircuitBreaker.Options(),
        forwardTimeout: .seconds(30)
      ) { (_, _, _, _) throws(NodeError) in throw NodeError(.unavailable, "nobody listens") }
      // Nobody leads, and then this member won, and has not taken the lead up yet.
      for leader in [nil, try Self.leader("me", term: 3)] {
        sink.point(to: leader)
        let refused = await refusal {
          try await sink.submit(.test(split("m")), timeout: .milliseconds(100), hops: 0)
        }
        #expect(refused?.reason == "leader_unavailable")
      }
      async let waiting = refusal {
        try await sink.submit(.test(split("m")), timeout: .seconds(30), hops: 0)
      }
      try await Task.sleep(for: .milliseconds(20))
      core.close()
      #expect(await waiting?.reason == "shutting_down")
    }
  }

  /// A refusal of the leader's is an answer: it speaks for the leader.
  @Test func aRefusalIsAnAnswer() async throws {
    try await withCore { core in
      let calls = Atomic(0)
      let sink = ClusterSink(
        core, member: try MemberName("me"), options: CircuitBreaker.Options(),
        forwardTimeout: .seconds(30)
      ) { (_, _, _, _) throws(NodeError) in
        calls.add(1, ordering: .relaxed)
        throw NodeError(.failedPrecondition, reason: "not_bootstrapped", "no")
      }
      sink.point(to: try Self.leader("alive", term: 1))
      let (answers, _) = await send(20, to: sink, timeout: .seconds(20))
      #expect(calls.load(ordering: .relaxed) == 20)
      for answer in answers {
        guard case .failure(let error) = answer else { continue }
        #expect(error.reason == "not_bootstrapped")
      }
      // But a command that was passed on too often is not passed on again.
      let refused = await refusal {
        try await sink.submit(
          .test(split("m")), timeout: .seconds(5), hops: CommandForwarding.maximumHops)
      }
      #expect(refused?.reason == "leader_unavailable")
      #expect(calls.load(ordering: .relaxed) == 20)
    }
  }
}

import CadastreClient
import Catalog
import ClusterSupport
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// The lead goes where an operator wants it.
@Suite(.timeLimit(.minutes(5))) struct LeaderMoveTests {
  private func problem(_ body: () async throws -> Void) async -> Problem? {
    do {
      try await body()
      return nil
    } catch {
      return error as? Problem
    }
  }

  @Test func theNamedMemberLeadsAndCommandsGoOn() async throws {
    let cluster = TestCluster()
    try await cluster.run("a", "b", "c") { members in
      let first = try await cluster.leader(of: members)
      try await first.insist(.test(oneRoute))
      let move = LeaderMove(stream: cluster.memory.connect())
      try await until { cluster.memory.progress.count == 3 }
      let receipts = try await withThrowingTaskGroup(of: [CommandReceipt].self) { group in
        for (writer, member) in members.enumerated() {
          group.addTask {
            var receipts: [CommandReceipt] = []
            for number in 0..<40 {
              // Nobody hears of the move: what comes meanwhile waits.
              let split = Command.test(split("\(writer)-\(number)"))
              receipts.append(
                try await member.node.client.submit(split, deadline: .seconds(60)))
            }
            return receipts
          }
        }
        group.addTask {
          // To each of the others, and back; the one that waited longest is not always meant.
          for member in (members + members.reversed()).filter({ $0.name != first.name }) {
            let before = try #require(cluster.memory.leader)
            let moved = try await move.run(to: member.name) { _ in }
            #expect(moved.leader.member.name == member.name)
            #expect(moved.isMoved == (before.member.name != member.name))
            if moved.isMoved { #expect(moved.leader.term == ClusterTerm(before.term.rawValue + 1)) }
            _ = try await cluster.leader(of: members)
          }
          return []
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      #expect(receipts.count == 120)
      #expect(Set(receipts.map(\.position)).count == 120)
      #expect(cluster.memory.entries.count == 121)
      let leader = try #require(cluster.memory.leader)
      #expect(try await move.run(to: leader.member.name) { _ in }.isMoved == false)
      #expect(cluster.memory.leader == leader)
      // Whichever: another one.
      let other = try await move.run(to: nil) { _ in }
      #expect(other.isMoved && other.leader.member.name != leader.member.name)
    }
  }

  @Test func aWordForAnotherTermDeposesNobody() async throws {
    let cluster = TestCluster()
    try await cluster.run("a", "b") { members in
      let first = try await cluster.leader(of: members)
      let old = try #require(cluster.memory.leader)
      let other = try #require(members.first { $0.name != first.name })
      let stream = cluster.memory.connect()
      try await stream.nameSuccessor(
        ClusterMember(name: other.name, address: ""), of: old.term, lifetime: .seconds(60))
      _ = try await cluster.leader(of: members, after: old.term)
      let new = try #require(cluster.memory.leader)
      #expect(new.member.name == other.name)
      // The word is used up, and comes too late again.
      #expect(try await stream.successor(of: new.term) == nil)
      await #expect(throws: SharedStreamError.deposed(old.term)) {
        try await stream.nameSuccessor(old.member, of: old.term, lifetime: .seconds(60))
      }
      #expect(try await stream.successor(of: new.term) == nil)
      #expect(cluster.memory.leader == new)
    }
  }

  @Test func whoCannotLeadIsNotWaitedForForLong() async throws {
    let cluster = TestCluster()
    let stream = cluster.memory.connect()
    let move = LeaderMove(stream: stream, lifetime: .milliseconds(500))
    cluster.memory.create(testCatalog)
    #expect(await problem { _ = try await move.run(to: nil) { _ in } }?.code == "no-leader")
    try await cluster.run("a", "b", configure: { $1.handOverLag = 0 }) { members in
      let leader = try await cluster.leader(of: members)
      let old = try #require(cluster.memory.leader)
      try await leader.insist(.test(oneRoute))
      try await until { cluster.memory.progress.count == 2 }
      let silent = ClusterMember(name: try MemberName("silent"), address: "127.0.0.1:1")
      let unknown = await problem { _ = try await move.run(to: silent.name) { _ in } }
      #expect(unknown?.code == "no-such-member")
      #expect(unknown?.help == "those that are: a, b")
      // It lacks an entry: the leader goes on leading.
      try await stream.report(silent, storedThrough: .zero, lifetime: .seconds(60))
      let behind = await problem { _ = try await move.run(to: silent.name) { _ in } }
      #expect(behind?.code == "not-moved")
      #expect(cluster.memory.leader == old)
      // It has all, and does not campaign: another one leads, in the end.
      try await stream.report(silent, storedThrough: LogPosition(1), lifetime: .seconds(60))
      let failed = await problem { _ = try await move.run(to: silent.name) { _ in } }
      #expect(failed?.code == "another-leads")
      _ = try await cluster.leader(of: members, after: old.term)
      try await members[1].insist(.test(split("m")))
    }
  }
}

import CadastreClient
import Catalog
@testable import Etcd
import EtcdSupport
import Foundation
import Replay
import StateMachines
import Synchronization
import TestSupport
import Testing

@Suite(.serialized) struct EtcdStreamTests {
  /// A real etcd, a client that runs, and the entries of a catalog to be appended.
  struct Bench {
    let servers: EtcdServers
    let client: EtcdClient
    let stream: EtcdStream
    let entries: [EncodedEntry]
  }

  static let member = ClusterMember(name: name("a"), address: "127.0.0.1:1")

  private static func name(_ text: String) -> MemberName {
    guard let name = try? MemberName(text) else { preconditionFailure("a name") }
    return name
  }

  func with(
    servers count: Int = 1, encryption: EtcdServers.Encryption? = nil, flags: [String] = [],
    entries: Int = 40, width: Int = 1,
    _ change: (inout EtcdOptions) -> Void = { _ in },
    _ body: (Bench) async throws -> Void
  ) async throws {
    let servers = try EtcdServers(count: count, encryption: encryption, flags: flags)
    var options = EtcdOptions(endpoints: try servers.endpoints.map { try NodeAddress($0) })
    options.leaseSeconds = 2
    change(&options)
    let client = try EtcdClient(options)
    let entries = try StreamEntries.make(count: entries, width: width)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await client.run() }
      defer { group.cancelAll() }
      try await body(
        Bench(
          servers: servers, client: client, stream: EtcdStream(client, cluster: "test"),
          entries: entries))
    }
  }

  static let origin = LogTail(
    position: LogPosition(0), hash: .genesis(of: StreamEntries.catalog),
    version: CatalogVersion(0))

  /// Appends from a thread of its own, as the writer of a log does.
  func append(
    _ entries: ArraySlice<EncodedEntry>, after tail: LogTail, in term: ClusterTerm,
    to stream: EtcdStream
  ) async throws {
    try await stream.appendFromThread(Array(entries), after: tail, in: term)
  }

  func tail(_ entry: EncodedEntry) -> LogTail {
    LogTail(position: entry.entry.position, hash: entry.hash, version: entry.entry.version)
  }

  @Test func whatIsAppendedIsFollowedInOrder() async throws {
    try await with { bench in
      let stream = bench.stream
      #expect(try await stream.catalog() == nil)
      try await stream.create(StreamEntries.catalog, after: Self.origin)
      await #expect(throws: SharedStreamError.exists(stream.name)) {
        try await stream.create(StreamEntries.catalog, after: Self.origin)
      }
      #expect(try await stream.catalog() == StreamEntries.catalog)
      let lead = try await stream.campaign(Self.member)
      #expect(try await stream.leader()?.term == lead.term)
      let follower = Follower(stream)
      var before = Self.origin
      var rest = bench.entries[...]
      for count in [1, 2, 7, 30] {
        let next = rest.prefix(count)
        rest = rest.dropFirst(count)
        try await append(next, after: before, in: lead.term, to: stream)
        before = tail(next[next.endIndex - 1])
      }
      #expect(try await stream.tail() == before)
      #expect(try await follower.next(40) == bench.entries)
      // From within an append, too.
      #expect(
        try await Follower(stream, after: LogPosition(5)).next(35)
          == Array(bench.entries.dropFirst(5)))
      await lead.resign()
    }
  }

  @Test func onlyTheLeaderAppendsAndOnlyAtTheEnd() async throws {
    try await with { bench in
      let stream = bench.stream
      try await stream.create(StreamEntries.catalog, after: Self.origin)
      let first = try await stream.campaign(Self.member)
      try await append(bench.entries[0..<1], after: Self.origin, in: first.term, to: stream)
      // Another client, which knows nothing of the first one's.
      let other = EtcdStream(bench.client, cluster: "test")
      let found = tail(bench.entries[0])
      await #expect(throws: SharedStreamError.elsewhere(expected: Self.origin, found: found)) {
        try await append(bench.entries[0..<1], after: Self.origin, in: first.term, to: other)
      }
      let second = Task { try await other.campaign(Self.member) }
      try await Task.sleep(for: .milliseconds(200))
      await first.resign()
      #expect(await first.untilLost() == "it was given back")
      let next = try await second.value
      #expect(next.term > first.term)
      await #expect(throws: SharedStreamError.deposed(first.term)) {
        try await append(bench.entries[1..<2], after: found, in: first.term, to: stream)
      }
      try await append(bench.entries[1..<2], after: found, in: next.term, to: other)
      #expect(try await stream.tail() == tail(bench.entries[1]))
      await next.resign()
    }
  }

  @Test func theNamedMemberAloneIsElected() async throws {
    try await with { bench in
      let stream = bench.stream
      try await stream.create(StreamEntries.catalog, after: Self.origin)
      let (b, c) = (
        ClusterMember(name: Self.name("b"), address: "127.0.0.1:2"),
        ClusterMember(name: Self.name("c"), address: "127.0.0.1:3")
      )
      let first = try await stream.campaign(Self.member)
      let waiting = Task { try await stream.campaign(b) }
      #expect(try await stream.successor(of: first.term) == nil)
      try await stream.nameSuccessor(c, of: first.term, lifetime: .seconds(60))
      #expect(try await stream.successor(of: first.term) == c)
      await first.resign()
      // Long enough for the other, which has waited all the time.
      try await Task.sleep(for: .milliseconds(600))
      #expect(try await stream.leader() == nil)
      let second = try await stream.campaign(c)
      #expect(try await stream.leader() == LeaderRecord(member: c, term: second.term))
      #expect(try await stream.value(of: stream.keys.successor) == nil)
      // What was meant for a term says nothing to a later one, and is not even written.
      await #expect(throws: SharedStreamError.deposed(first.term)) {
        try await stream.nameSuccessor(b, of: first.term, lifetime: .seconds(60))
      }
      #expect(try await stream.value(of: stream.keys.successor) == nil)
      // One that does not come is forgotten.
      try await stream.nameSuccessor(Self.member, of: second.term, lifetime: .seconds(1))
      await second.resign()
      let third = try await waiting.value
      #expect(try await stream.leader()?.member == b)
      await third.resign()
    }
  }

  /// What the appender is told when the answer to its append was lost: what became of it, also once
  /// another leads and has gone on behind it.
  @Test func anAppendWhoseAnswerWasLostIsRecognised() async throws {
    try await with { bench in
      let stream = bench.stream
      try await stream.create(StreamEntries.catalog, after: Self.origin)
      let lead = try await stream.campaign(Self.member)
      try await append(bench.entries[0..<1], after: Self.origin, in: lead.term, to: stream)
      let (first, second) = (tail(bench.entries[0]), tail(bench.entries[1]))
      let before = try #require(stream.end.withLock { $0 })
      // Knows nothing of the append that follows, as if its answer had been lost.
      let late = EtcdStream(bench.client, cluster: "test")
      func forget() { late.end.withLock { $0 = before } }
      try await append(bench.entries[1..<2], after: first, in: lead.term, to: stream)
      forget()
      try await append(bench.entries[1..<2], after: first, in: lead.term, to: late)
      let others = try StreamEntries.make(count: 2, width: 2)
      forget()
      await #expect(throws: SharedStreamError.elsewhere(expected: first, found: second)) {
        try await append(others[1..<2], after: first, in: lead.term, to: late)
      }
      await lead.resign()
      forget()
      try await append(bench.entries[1..<2], after: first, in: lead.term, to: late)
      let next = try await stream.campaign(Self.member)
      try await append(bench.entries[2..<3], after: second, in: next.term, to: stream)
      forget()
      try await append(bench.entries[1..<2], after: first, in: lead.term, to: late)
      forget()
      await #expect(throws: SharedStreamError.deposed(lead.term)) {
        try await append(others[1..<2], after: first, in: lead.term, to: late)
      }
      try await stream.trim(through: second.position, in: next.term)
      forget()
      await #expect {
        try await append(bench.entries[1..<2], after: first, in: lead.term, to: late)
      } throws: { error in
        if case SharedStreamError.outcomeUnknown(_) = error { true } else { false }
      }
      await next.resign()
    }
  }

  @Test func anAppendOfManyMegabytesIsWholeOrNotThere() async throws {
    try await with(entries: 30, width: 4_000) { bench in
      let stream = bench.stream
      try await stream.create(StreamEntries.catalog, after: Self.origin)
      let lead = try await stream.campaign(Self.member)
      let bytes = bench.entries.reduce(0) { $0 + $1.bytes.count }
      #expect(bytes > 3 << 20)
      try await append(bench.entries[...], after: Self.origin, in: lead.term, to: stream)
      #expect(try await Follower(stream).next(30) == bench.entries)
      await lead.resign()
    }
  }

  @Test func whatIsTrimmedIsSaidToBe() async throws {
    try await with { bench in
      let stream = bench.stream
      try await stream.create(StreamEntries.catalog, after: Self.origin)
      let lead = try await stream.campaign(Self.member)
      var before = Self.origin
      for start in stride(from: 0, to: 40, by: 10) {
        try await append(
          bench.entries[start..<start + 10], after: before, in: lead.term, to: stream)
        before = tail(bench.entries[start + 9])
      }
      try await stream.report(Self.member, storedThrough: LogPosition(25), lifetime: .seconds(30))
      #expect(
        try await stream.progress() == [
          MemberProgress(member: Self.member, storedThrough: LogPosition(25))
        ])
      // Whole appends only.
      try await stream.trim(through: LogPosition(25), in: lead.term)
      #expect(try await stream.trimmedThrough() == LogPosition(20))
      await #expect(throws: SharedStreamError.trimmed(through: LogPosition(20))) {
        try await stream.follow(after: LogPosition(19)) { _ in }
      }
      #expect(
        try await Follower(stream, after: LogPosition(20)).next(20)
          == Array(bench.entries.dropFirst(20)))
      await #expect(throws: SharedStreamError.deposed(ClusterTerm(1))) {
        try await stream.trim(through: LogPosition(40), in: ClusterTerm(1))
      }
      await lead.resign()
    }
  }

  @Test func aFullWindowTakesNothingMoreUntilItIsTrimmed() async throws {
    try await with({ $0.windowByteLimit = 3_000 }) { bench in
      let stream = bench.stream
      try await stream.create(StreamEntries.catalog, after: Self.origin)
      let lead = try await stream.campaign(Self.member)
      var (before, count) = (Self.origin, 0)
      var failure: SharedStreamError?
      for index in bench.entries.indices {
        do {
          try await append(
            bench.entries[index...index], after: before, in: lead.term, to: stream)
          (before, count) = (tail(bench.entries[index]), index + 1)
        } catch let error as SharedStreamError {
          failure = error
          break
        }
      }
      guard case .windowFull(_, 3_000)? = failure else {
        Issue.record("\(String(describing: failure))")
        return
      }
      try await stream.trim(through: before.position, in: lead.term)
      try await append(bench.entries[count...count], after: before, in: lead.term, to: stream)
      await lead.resign()
    }
  }

  /// etcd is killed and started again while entries are appended: each is there once.
  @Test func appendsUnderFireAreThereOnce() async throws {
    try await with(entries: 400) { bench in
      let stream = bench.stream
      try await stream.create(StreamEntries.catalog, after: Self.origin)
      let lead = try await stream.campaign(Self.member)
      let isOver = Atomic(false)
      let servers = bench.servers
      let fire = Task.detached {
        var seed = SeededGenerator(seed: 7)
        while !isOver.load(ordering: .relaxed) {
          try await Task.sleep(for: .milliseconds(Int.random(in: 50...250, using: &seed)))
          if Bool.random(using: &seed) {
            servers.pause(0)
            try await Task.sleep(for: .milliseconds(100))
            servers.resume(0)
          } else {
            servers.kill(0)
            try servers.start(0)
            try servers.untilServing(0)
          }
        }
      }
      var before = Self.origin
      for start in stride(from: 0, to: 400, by: 4) {
        try await append(bench.entries[start..<start + 4], after: before, in: lead.term, to: stream)
        before = tail(bench.entries[start + 3])
      }
      isOver.store(true, ordering: .relaxed)
      try await fire.value
      #expect(try await Follower(stream).next(400) == bench.entries)
      await lead.resign()
    }
  }

  @Test func aLeaderWithoutEtcdKnowsThatItLeadsNoMore() async throws {
    try await with { bench in
      let stream = bench.stream
      try await stream.create(StreamEntries.catalog, after: Self.origin)
      let lead = try await stream.campaign(Self.member)
      bench.servers.pause(0)
      let why = await lead.untilLost()
      #expect(why.hasPrefix("its lease was not renewed in time"))
      bench.servers.resume(0)
    }
  }

  @Test func whoWaitsForTheEndOfALeadMayStopWaiting() async throws {
    try await with { bench in
      try await bench.stream.create(StreamEntries.catalog, after: Self.origin)
      let lead = try await bench.stream.campaign(Self.member)
      let waiting = Task { await lead.untilLost() }
      waiting.cancel()
      _ = await waiting.value
      #expect(try await bench.stream.leader()?.term == lead.term)
      await lead.resign()
      #expect(try await bench.stream.leader() == nil)
    }
  }

  /// grpc-go sends a PING with nearly every answer; a connection must outlive those.
  @Test func aConnectionOutlivesThousandsOfCalls() async throws {
    try await with { bench in
      try await bench.stream.create(StreamEntries.catalog, after: Self.origin)
      for _ in 0..<2_000 { _ = try await bench.stream.tail() }
    }
  }

  @Test func threeMembersDoWithoutOne() async throws {
    // An election takes a second, and is no reason to lose the lead.
    try await with(servers: 3, entries: 60, { $0.leaseSeconds = 5 }) { bench in
      let stream = bench.stream
      try await stream.create(StreamEntries.catalog, after: Self.origin)
      let lead = try await stream.campaign(Self.member)
      var before = Self.origin
      for index in bench.entries.indices {
        if index == 20 { bench.servers.kill(0) }
        if index == 40 {
          try bench.servers.start(0)
          try bench.servers.untilServing(0)
          bench.servers.kill(1)
        }
        try await append(bench.entries[index...index], after: before, in: lead.term, to: stream)
        before = tail(bench.entries[index])
      }
      #expect(try await stream.tail() == before)
      await lead.resign()
    }
  }
}

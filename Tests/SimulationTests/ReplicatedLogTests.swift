import Catalog
import ClusterSupport
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Simulation

/// Logs that share a stream, each under the core of a store, against a plain list of what was answered.
@Suite struct ReplicatedLogTests {
  /// A member without threads, clock or network.
  private struct Member {
    let name: ClusterMember
    let disk: SimulatedLog
    let stream: MemoryStream
    var log: ReplicatedLog
    var core: StoreCore
    var lookup = CommandLookup()
    /// What its wall clock says.
    var wall: UInt64

    init(_ number: Int, _ cluster: MemoryCluster, wall: UInt64) throws {
      name = ClusterMember(name: try MemberName("member-\(number)"), address: "here:\(number + 1)")
      disk = SimulatedLog(catalog: Self.catalog)
      stream = cluster.connect()
      self.wall = wall
      (log, core) = Self.open(disk, stream)
    }

    private static func open(
      _ disk: SimulatedLog, _ stream: MemoryStream
    ) -> (ReplicatedLog, StoreCore) {
      let recovered = StoreRecovery(
        disk, from: CatalogState(catalog: catalog), historyCapacity: 4, readsAhead: false)
      let log = ReplicatedLog(disk, sharing: stream)
      return (
        log,
        StoreCore(
          log, state: recovered.state, failure: recovered.failure,
          options: StoreOptions(role: .member))
      )
    }

    static let catalog: CatalogID = {
      guard let id = CatalogID(bytes: Array("a shared catalog".utf8)) else {
        preconditionFailure("sixteen bytes")
      }
      return id
    }()

    /// Starts again with what is on the disk.
    mutating func restart() {
      disk.settle()
      disk.crash(keeping: true)
      (log, core) = Self.open(disk, stream)
      lookup = CommandLookup()
    }

    mutating func send(_ commands: [Command]) -> [Result<Receipt, CommandFailure>] {
      var answers: [Result<Receipt, CommandFailure>] = []
      while answers.count < commands.count {
        wall += 1
        let (now, log) = (wall, log)
        var lookup = lookup
        let last = core.state.appliedThrough
        let commit = core.commit(commands[answers.count...], wall: { now }) {
          (id) throws(StoreError) in
          try lookup.positions(of: id, in: log, through: last)
        }
        self.lookup = lookup
        if let publication = commit.publish { self.lookup.insert(publication.entries) }
        answers += commit.thenAnswer
      }
      return answers
    }

    /// Takes over what the stream has, at most `count` entries; the error that ended it.
    mutating func follow(_ cluster: MemoryCluster, count: Int = .max) -> StoreError? {
      let last = core.state.appliedThrough
      let entries = cluster.entries.filter { $0.entry.position > last }.prefix(count)
      let intake = core.takeOver(Array(entries))
      if let publication = intake.publish { lookup.insert(publication.entries) }
      return intake.thenReport
    }

    /// Takes the lead; false where its log does not follow.
    mutating func lead(_ cluster: MemoryCluster) throws -> Bool {
      let term = cluster.elect(name)
      guard follow(cluster) == nil else { return false }
      let tail = LogTail(
        position: core.state.appliedThrough, hash: core.state.lastHash,
        version: core.state.version)
      try log.lead(in: term, after: tail) { _, _ in }
      return true
    }
  }

  private func makeCluster(_ count: Int) throws -> (MemoryCluster, [Member]) {
    let cluster = MemoryCluster()
    cluster.create(Member.catalog)
    // Clocks that are minutes apart: entries' times rise all the same.
    let members = try (0..<count).map {
      try Member($0, cluster, wall: 1_785_312_000_000 - UInt64($0) * 300_000)
    }
    return (cluster, members)
  }

  private func command(_ number: UInt64, _ change: RouteChange) -> Command {
    let bytes =
      [UInt8](repeating: 0, count: 8) + withUnsafeBytes(of: number.bigEndian, Array.init)
    guard let id = CommandID(bytes: bytes) else { preconditionFailure("sixteen bytes") }
    return Command(id: id, actor: "test", reason: "a test", change: change)
  }

  private let oneRoute = RouteChange.bootstrap([
    RouteSeedRequest(start: .least, group: GroupID(1))
  ])

  private func split(_ text: String) -> RouteChange { .split([SplitRequest(at: Key(text))]) }

  // MARK: One thing at a time

  @Test func whatIsDecidedIsInTheStreamAndComesToTheOthers() throws {
    var (cluster, members) = try makeCluster(2)
    #expect(try members[0].lead(cluster))
    let answers = members[0].send([command(1, oneRoute), command(2, split("m"))])
    #expect(try answers.map { try $0.get().position } == [LogPosition(1), LogPosition(2)])
    #expect(cluster.entries.count == 2)
    #expect(members[1].follow(cluster) == nil)
    #expect(members[1].core.state.header == members[0].core.state.header)
    // Whoever follows decides nothing, and whoever was deposed neither.
    #expect(members[1].send([command(3, split("p"))]) == [.failure(.notLeader)])
    #expect(try members[1].lead(cluster))
    #expect(members[0].send([command(3, split("p"))]) == [.failure(.notLeader)])
    #expect(members[0].log.term == nil)
    #expect(members[0].core.failure == nil)
    #expect(try members[1].send([command(3, split("p"))])[0].get().outcome == .appended)
    #expect(members[0].follow(cluster) == nil)
    #expect(members[0].core.state.header == members[1].core.state.header)
  }

  @Test func aTermIsLedOnceAndOnlyFromTheStreamsEnd() throws {
    var (cluster, members) = try makeCluster(2)
    #expect(try members[0].lead(cluster))
    let term = try #require(members[0].log.term)
    _ = members[0].send([command(1, oneRoute)])
    let tail = try members[0].disk.tail()
    // One that lacks an entry does not lead.
    let next = cluster.elect(members[1].name)
    #expect(throws: StoreError.self) {
      try members[1].log.lead(in: next, after: tail) { _, _ in }
    }
    #expect(members[1].log.term == nil)
    members[0].log.stopLeading()
    #expect(throws: StoreError.stream("memory", .deposed(term))) {
      try members[0].log.lead(in: term, after: tail) { _, _ in }
    }
  }

  @Test(arguments: [true, false])
  func anUnknownOutcomeEndsTheLeadAndComesOutByFollowing(isDone: Bool) throws {
    var (cluster, members) = try makeCluster(2)
    #expect(try members[0].lead(cluster))
    _ = members[0].send([command(1, oneRoute)])
    let before = members[0].core.state.header
    members[0].stream.fail(.unknown(isDone: isDone))
    let sent = command(2, split("m"))
    let answer = members[0].send([sent])[0]
    guard case .failure(let failure) = answer else {
      Issue.record("\(answer)")
      return
    }
    #expect("\(failure)".contains("could not be found out"))
    #expect("\(failure)".contains("under the same id"))
    #expect(members[0].log.term == nil)
    #expect(members[0].core.failure == nil)
    // What was decided on the way is nowhere to be seen.
    #expect(members[0].core.state.header == before)
    #expect(members[0].send([command(3, split("p"))]) == [.failure(.notLeader)])
    #expect(try members[0].lead(cluster))
    #expect(members[0].core.state.version == CatalogVersion(isDone ? 2 : 1))
    // Sent again it is carried out once; another change under its id is refused, though it would have
    // made this entry, too: what was asked for is remembered.
    let again = try members[0].send([sent])[0].get()
    #expect(again.outcome == (isDone ? .repeated : .appended))
    let other = RouteChange.split([SplitRequest(at: Key("m")), SplitRequest(at: Key("t"))])
    #expect(
      members[0].send([command(2, other)]) == [
        .failure(.commandIDReused(sent.id, position: again.position))
      ])
    #expect(members[1].follow(cluster) == nil)
    #expect(members[1].core.state.header == members[0].core.state.header)
  }

  @Test func aDiskThatDoesNotFollowEndsTheLeadAndCatchesUp() throws {
    var (cluster, members) = try makeCluster(2)
    #expect(try members[0].lead(cluster))
    _ = members[0].send([command(1, oneRoute)])
    members[0].disk.isFull = true
    let sent = command(2, split("m"))
    #expect(members[0].send([sent]) == [.failure(.storage(.diskFull(folder: "simulated")))])
    #expect(members[0].log.term == nil)
    #expect(members[0].core.failure == nil)
    #expect(cluster.entries.count == 2)
    // It cannot lead as it is.
    #expect(try !members[0].lead(cluster))
    members[0].disk.isFull = false
    #expect(try members[0].lead(cluster))
    #expect(try members[0].send([sent])[0].get().outcome == .repeated)
  }

  @Test func aStreamThatIsAwayHarmsNothing() throws {
    var (cluster, members) = try makeCluster(1)
    #expect(try members[0].lead(cluster))
    members[0].stream.fail(.unavailable)
    let answer = members[0].send([command(1, oneRoute)])[0]
    #expect(answer == .failure(.storage(.stream("memory", .unavailable("at a test's word")))))
    // It leads still: the next command is carried out.
    #expect(members[0].log.term != nil)
    #expect(try members[0].send([command(2, oneRoute)])[0].get().outcome == .appended)
    let member = members[0].name.name
    members[0].log.setObstacle(.windowHeldBack(by: [member], entries: 9, limit: 5))
    let refused = members[0].send([command(3, split("m"))])[0]
    #expect("\(refused)".contains("member-0"))
    members[0].log.setObstacle(nil)
    #expect(try members[0].send([command(3, split("m"))])[0].get().outcome == .appended)
  }

  // MARK: All at once

  /// What was sent, and what was heard of it.
  private struct Sent {
    var command: Command
    var receipt: Receipt?
    /// Whether it may have an entry though no receipt says so.
    var mayBeThere = false
  }

  @Test(arguments: testSeeds(count: 60))
  func everyAnswerIsTrue(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var (cluster, members) = try makeCluster(3)
    var sent: [Sent] = []
    for _ in 0..<150 {
      let index = Int.random(in: 0..<members.count, using: &generator)
      switch Int.random(in: 0..<20, using: &generator) {
      case 0..<9:
        let leader = members.firstIndex { $0.log.term != nil } ?? index
        // Now and then somebody asks a member that does not lead.
        try exchange(&members[generator.oneIn(6) ? index : leader], &sent, &generator, seed)
      case 9..<13:
        if members[index].log.term == nil {
          let error = members[index].follow(
            cluster, count: Int.random(in: 1...5, using: &generator))
          #expect(error == nil || members[index].disk.isFull, "seed \(seed): \(error as Any)")
        }
      case 13: _ = try members[index].lead(cluster)
      case 14: cluster.endTerm()
      case 15..<17:
        let faults: [MemoryCluster.AppendFault] = [
          .unavailable, .unknown(isDone: true), .unknown(isDone: false), .unknownUntilTermEnds,
        ]
        members[index].stream.fail(faults[Int.random(in: 0..<faults.count, using: &generator)])
      case 17: members[index].disk.isFull = generator.oneIn(2)
      case 18: members[index].restart()
      default: members[index].log.stopLeading()
      }
    }
    for index in members.indices { members[index].disk.isFull = false }
    #expect(try members[0].lead(cluster), "seed \(seed)")
    for index in members.indices { #expect(members[index].follow(cluster) == nil, "seed \(seed)") }
    try check(cluster, members, sent, seed)
  }

  private func exchange(
    _ member: inout Member, _ sent: inout [Sent], _ generator: inout SeededGenerator, _ seed: UInt64
  ) throws {
    var indices: [Int] = []
    for _ in 0..<Int.random(in: 1...4, using: &generator) {
      if generator.oneIn(4), !sent.isEmpty {
        indices.append(Int.random(in: 0..<sent.count, using: &generator))
      } else {
        let change =
          generator.oneIn(8)
          ? oneRoute
          : RouteChange.split([SplitRequest(at: Key.random(length: 1...4, using: &generator))])
        sent.append(Sent(command: command(UInt64(sent.count) + 1, change)))
        indices.append(sent.count - 1)
      }
    }
    for (index, answer) in zip(indices, member.send(indices.map { sent[$0].command })) {
      switch answer {
      case .success(let receipt) where receipt.outcome != .alreadyDone:
        if let known = sent[index].receipt {
          #expect(known.position == receipt.position, "seed \(seed)")
        }
        sent[index].receipt = receipt
      case .success, .failure(.refused), .failure(.notLeader): break
      case .failure(.storage(.stream(_, .unavailable))): break
      case .failure(.commandIDReused):
        Issue.record("seed \(seed): the same command was taken for another one")
      case .failure: sent[index].mayBeThere = true
      }
    }
  }

  /// The stream is one chain that makes one state; what was answered is in it, what was refused is not,
  /// and nothing is twice.
  private func check(
    _ cluster: MemoryCluster, _ members: [Member], _ sent: [Sent], _ seed: UInt64
  ) throws {
    var state = CatalogState(catalog: Member.catalog)
    var positions: [CommandID: LogPosition] = [:]
    var last = HybridTimestamp(0)
    for encoded in cluster.entries {
      try state.evolve(encoded)
      #expect(encoded.entry.time > last, "seed \(seed)")
      last = encoded.entry.time
      let earlier = positions.updateValue(encoded.entry.position, forKey: encoded.entry.command)
      #expect(earlier == nil, "seed \(seed): twice")
    }
    for member in members {
      #expect(member.core.failure == nil, "seed \(seed)")
      #expect(member.core.state.header == state.header, "seed \(seed)")
      #expect(member.disk.hashes.map(\.hash) == cluster.entries.map(\.hash), "seed \(seed)")
    }
    for sent in sent {
      let position = positions[sent.command.id]
      if let receipt = sent.receipt {
        #expect(position == receipt.position, "seed \(seed)")
      } else if !sent.mayBeThere {
        #expect(position == nil, "seed \(seed): an entry of a command that was refused")
      }
    }
  }
}

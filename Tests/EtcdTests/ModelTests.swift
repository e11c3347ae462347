import Catalog
import ClusterSupport
@testable import Etcd
import EtcdSupport
import Replay
import StateMachines
import Synchronization
import TestSupport
import Testing

/// The stream in memory, which simulations and the tests of nodes trust, answers as etcd does.
/// `CADASTRE_SEED` says which seed to run.
@Suite(.oneEtcd) struct ModelTests {
  private static let memberCount = 3
  private static let stepCount = 150

  @Test(.timeLimit(.minutes(5)), arguments: testSeeds(count: 5))
  func theModelAnswersAsEtcdDoes(seed: UInt64) async throws {
    let client = try OneEtcd.connect()
    let name = "model-\(seed)"
    let members = try (0..<Self.memberCount).map {
      ClusterMember(name: try MemberName("m\($0)"), address: "127.0.0.1:\($0 + 1)")
    }
    let cluster = MemoryCluster(name: name)
    let twins = StreamTwins(
      seed: seed, members: members, model: members.map { _ in cluster.connect() },
      etcd: members.map { _ in EtcdStream(client, cluster: name) })
    var story = ModelStory(seed: seed, members: members, twins)
    while story.twins.step < Self.stepCount { try await story.act() }
    try await story.end()
  }
}

/// What a seed has members do to a stream.
private struct ModelStory {
  /// What a follower was told, however many appends came at a time.
  private struct Told: Equatable {
    var entries: [LogTail] = []
    var tail: LogTail?
  }

  private struct ReadEnough: Error {}

  var twins: StreamTwins
  private let members: [ClusterMember]
  private var random: SeededGenerator
  /// Where the stream ended, or might have, and the catalog as of there.
  private var states: [LogTail: CatalogState]
  /// The keys of ``states``, in order.
  private var tails: [LogTail]
  private var lastAppend: (entries: [EncodedEntry], tail: LogTail, lead: Int)?

  init(seed: UInt64, members: [ClusterMember], _ twins: StreamTwins) {
    (self.twins, self.members) = (twins, members)
    random = SeededGenerator(seed: seed)
    let origin = LogTail(
      position: .zero, hash: .genesis(of: StreamEntries.catalog), version: .zero)
    (states, tails) = ([origin: CatalogState(catalog: StreamEntries.catalog)], [origin])
  }

  mutating func act() async throws {
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<38: try await append()
    case 38..<50: try await readBack()
    case 50..<58: try await trim()
    case 58..<66: try await campaign()
    case 66..<72: try await resign()
    case 72..<77: try await report()
    case 77..<83: try await create()
    case 83..<86: try await remove()
    default: try await look()
    }
  }

  /// Ends with what takes a follower of etcd a second: the word that there is nothing new.
  mutating func end() async throws {
    if twins.isAwaited { try await twins.giveUp() }
    if let leader = twins.leader { try await twins.resign(leader) }
    let tail = await tail()
    try await follow(after: tail?.position ?? .zero, until: nil)
  }

  // MARK: Writing

  private mutating func append() async throws {
    guard let lead = someLead() else { return }
    if random.oneIn(8), let last = lastAppend {
      return try await append(last.entries, after: last.tail, in: last.lead)
    }
    let tail = await someTail()
    guard var state = states[tail] else { return }
    var entries: [EncodedEntry] = []
    for _ in 0..<(random.oneIn(15) ? 0 : Int.random(in: 1...5, using: &random)) {
      entries.append(try StreamEntries.next(after: &state, &random))
      states[LogTail(entries[entries.count - 1])] = state
      tails.append(LogTail(entries[entries.count - 1]))
    }
    lastAppend = (entries, tail, lead)
    try await append(entries, after: tail, in: lead)
  }

  private mutating func append(
    _ entries: [EncodedEntry], after tail: LogTail, in lead: Int
  ) async throws {
    // Whether an earlier try was done cannot be seen any more where the window begins behind it.
    let isTrimmed = (try? await twins.stream.trimmedThrough()).map { $0 > tail.position } ?? false
    // By way of who won the lead, which remembers where the stream ended.
    let member = twins.leaders[lead]
    try await twins.ask(
      "\(entries.count) entries after \(tail.position) in lead \(lead)",
      mayBeUnknown: isTrimmed && lead != twins.leader
    ) { twin in
      try await twin.streams[member].appendFromThread(
        entries, after: tail, in: twin.leads[lead].term)
      return Done()
    }
  }

  private mutating func trim() async throws {
    guard let lead = someLead() else { return }
    let (member, position) = (someMember(), await somePosition())
    try await twins.ask("trim through \(position) in lead \(lead)") { twin in
      try await twin.streams[member].trim(through: position, in: twin.leads[lead].term)
      return Done()
    }
  }

  private mutating func create() async throws {
    let (member, tail) = (someMember(), await someTail())
    try await twins.ask("create after \(tail.position)") { twin in
      try await twin.streams[member].create(StreamEntries.catalog, after: tail)
      return Done()
    }
  }

  private mutating func remove() async throws {
    let (member, tail) = (someMember(), await someTail())
    try await twins.ask("remove ending with \(tail.position)") { twin in
      try await twin.streams[member].remove(endingWith: tail)
      return Done()
    }
    try await look()
  }

  // MARK: Members

  private mutating func campaign() async throws {
    if twins.isAwaited { return try await twins.giveUp() }
    try await twins.campaign(someMember())
  }

  private mutating func resign() async throws {
    guard let lead = someLead() else { return }
    try await twins.resign(lead)
  }

  private mutating func report() async throws {
    let (member, position) = (someMember(), await somePosition())
    let record = members[member]
    try await twins.ask("report \(position) by \(member)") { twin in
      try await twin.streams[member].report(
        record, storedThrough: position, lifetime: .seconds(60))
      return Done()
    }
  }

  // MARK: Reading

  private mutating func look() async throws {
    let member = someMember()
    try await twins.ask("catalog") { try await $0.streams[member].catalog() }
    try await twins.ask("tail") { try await $0.streams[member].tail() }
    try await twins.ask("trimmed") { try await $0.streams[member].trimmedThrough() }
    try await twins.ask("leader") { twin in
      try await twin.streams[member].leader().map {
        LeaderRecord(member: $0.member, term: twin.ordinal($0.term))
      }
    }
    try await twins.ask("progress") { Set(try await $0.streams[member].progress()) }
  }

  /// Follows from somewhere to the end.
  private mutating func readBack() async throws {
    let position = await somePosition()
    let tail = await tail()
    // From the end on, etcd's followers hear nothing for a second.
    if let tail, position >= tail.position { return }
    try await follow(after: position, until: tail)
  }

  /// Follows until it was told the end; nil: until it was told anything.
  private mutating func follow(after position: LogPosition, until end: LogTail?) async throws {
    let member = someMember()
    try await twins.ask("follow after \(position)") { twin in
      let told = Mutex(Told())
      do {
        try await twin.streams[member].follow(after: position) { append in
          if end != nil, append.entries.isEmpty { return }
          told.withLock { told in
            told.entries += append.entries.map { LogTail($0) }
            told.tail = append.tail
          }
          if end == nil || append.entries.last.map({ LogTail($0) }) == end { throw ReadEnough() }
        }
      } catch is ReadEnough {}
      return told.withLock { $0 }
    }
  }

  // MARK: Choosing

  private mutating func someMember() -> Int { Int.random(in: 0..<members.count, using: &random) }

  /// Mostly who leads; else one who led, where anyone did.
  private mutating func someLead() -> Int? {
    if let leader = twins.leader, !random.oneIn(4) { return leader }
    return twins.leaders.indices.randomElement(using: &random)
  }

  private func tail() async -> LogTail? { try? await twins.stream.tail() }

  /// Mostly where the stream ends; else where it ended, or never did.
  private mutating func someTail() async -> LogTail {
    if !random.oneIn(4), let tail = await tail() { return tail }
    return tails[Int.random(in: 0..<tails.count, using: &random)]
  }

  /// A position in the stream, or a little behind it.
  private mutating func somePosition() async -> LogPosition {
    let end = await tail()?.position ?? .zero
    let start = (try? await twins.stream.trimmedThrough()) ?? .zero
    // Mostly in the window, or close to it.
    let least = random.oneIn(4) ? 0 : min(start.rawValue, end.rawValue) - min(start.rawValue, 2)
    return LogPosition(UInt64.random(in: least...end.rawValue + 3, using: &random))
  }
}

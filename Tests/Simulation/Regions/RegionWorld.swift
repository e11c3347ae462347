import Catalog
import Replay
import StateMachines
import TestSupport

/// Who sends and receives.
enum RegionEndpoint: Hashable {
  case host(Int)
  case member(Int)
  case client(Int)
}

/// What goes over the network: calls and answers, known by numbers.
enum RegionMessage {
  case command(UInt64, RegionCommand)
  case outcome(UInt64, Result<RegionReceipt, RegionFailure>)
  case pull(UInt64, after: LogPosition)
  case entries(UInt64, Int, [EncodedEntry])
  case state(UInt64, Int, RegionState)
  case stamp(UInt64, GroupID, count: Int)
  case stamped(UInt64, HybridTimestampBatch?)
  case inspect(UInt64, TransactionID)
  case inspected(UInt64, Transaction?)
}

/// What goes wrong in a run, and how often; see ``Faults``.
struct RegionFaults: CustomStringConvertible {
  // Of messages: how many times in a thousand.
  var losses = 0
  var doubles = 0
  var delays = 0
  // How often in a minute, about.
  var crashes = 0
  var cuts = 0
  var clockFaults = 0
  var fullDisks = 0
  var slowDisks = false
  /// The greatest drift of a clock, either way.
  var drift = 0.0
  /// How many entries a stream keeps.
  var retainedEntryCount: UInt64 = 1_000

  static func draw(using generator: inout SeededGenerator) -> RegionFaults {
    func some(_ range: ClosedRange<Int>) -> Int {
      generator.oneIn(2) ? Int.random(in: range, using: &generator) : 0
    }
    var faults = RegionFaults()
    faults.losses = some(1...100)
    faults.doubles = some(1...100)
    faults.delays = some(1...60)
    faults.crashes = some(4...30)
    faults.cuts = some(4...20)
    faults.clockFaults = some(10...80)
    faults.fullDisks = some(1...6)
    faults.slowDisks = generator.oneIn(2)
    faults.drift = generator.oneIn(2) ? 0.01 : 0
    faults.retainedEntryCount = generator.oneIn(2) ? 8 : 1_000
    return faults
  }

  /// What there is, for people.
  var description: String {
    let counts = [
      ("losses", losses), ("doubles", doubles), ("delays", delays), ("crashes", crashes),
      ("cuts", cuts), ("clock faults", clockFaults), ("full disks", fullDisks),
      ("drift", drift > 0 ? 1 : 0), ("slow disks", slowDisks ? 1 : 0),
    ]
    let parts = counts.filter { $0.1 > 0 }.map { "\($0.0) \($0.1)" }
    return "\(parts.joined(separator: ", ")); \(retainedEntryCount) entries kept"
  }
}

/// The streams of three regions, members that lead groups in them, and clients, in one thread:
/// everything that happens follows from the seed.
final class RegionWorld: SeededWorld {
  var faults: RegionFaults
  let catalog: CatalogID
  let regions: [Region]
  let groups = (UInt64(1)...6).map { GroupID($0) }
  let oracle: RegionOracle
  private(set) var hosts: [RegionHost] = []
  private(set) var members: [RegionMember] = []
  private(set) var clients: [RegionClient] = []
  /// The newest transaction of each region.
  var contested: [Int: TransactionID] = [:]
  private(set) var isInTrouble = true
  private let absent: Set<RegionGuard>
  private var cuts: Set<Cut> = []

  private struct Cut: Hashable {
    var from: RegionEndpoint
    var to: RegionEndpoint
  }

  init(seed: UInt64, without absent: Set<RegionGuard>) throws {
    var generator = SeededGenerator(seed: seed)
    self.absent = absent
    faults = RegionFaults.draw(using: &generator)
    catalog = CatalogID(number: seed)
    regions = try ["osaka", "tokyo", "zurich"].map { try Region($0) }
    oracle = RegionOracle(catalog: catalog, regions: regions)
    super.init(generator: generator)
    for (index, region) in regions.enumerated() {
      let log = SimulatedRegionLog(
        catalog: catalog, region: region, isLying: !has(.sync), forgetsCommands: !has(.memory))
      hosts.append(RegionHost(index: index, region: region, log: log, world: self))
      for number in 0..<2 {
        members.append(
          RegionMember(
            id: members.count, home: index, name: try MemberName("\(region.name)-\(number)"),
            world: self))
      }
      clients.append(Coordinator(id: clients.count, region: index, world: self))
      clients.append(Rival(id: clients.count, region: index, world: self))
    }
    clients.append(Mover(id: clients.count, region: 0, world: self))
    for host in hosts { host.clock.drift = drift() }
    for member in members { member.clock.drift = drift() }
  }

  private func drift() -> Double { faults.drift * Double(random(-100...100)) / 100 }

  /// Whether a guard is on.
  func has(_ guarded: RegionGuard) -> Bool { !absent.contains(guarded) }

  /// The region that a group is in at first.
  func home(of group: GroupID) -> Int { Int(group.rawValue) % regions.count }

  /// The region that a group is in; nil while it moves.
  func place(of group: GroupID) -> Int? {
    regions.indices.first { region in
      guard let clock = oracle.state(of: region).ceilings[group] else { return false }
      if case .departed = clock.standing { return false }
      return true
    }
  }

  // MARK: Messages

  private func region(of endpoint: RegionEndpoint) -> Int {
    switch endpoint {
    case .host(let index): index
    case .member(let id): members[id].home
    case .client(let id): clients[id].region
    }
  }

  func send(_ message: RegionMessage, from: RegionEndpoint, to: RegionEndpoint) {
    let isLocal = region(of: from) == region(of: to)
    var delay = Duration.microseconds(
      isLocal ? random(200...2_000) : random(40_000...150_000))
    if happens(faults.delays) { delay += .milliseconds(random(100...3_000)) }
    guard !happens(faults.losses), !cuts.contains(Cut(from: from, to: to)) else { return }
    after(delay) { [self] in deliver(message, from: from, to: to) }
    if happens(faults.doubles) {
      after(delay + .milliseconds(random(0...2_000))) { [self] in
        deliver(message, from: from, to: to)
      }
    }
  }

  private func deliver(
    _ message: RegionMessage, from: RegionEndpoint, to: RegionEndpoint
  ) {
    switch to {
    case .host(let index): hosts[index].receive(message, from: from)
    case .member(let id): members[id].receive(message, from: from)
    case .client(let id): clients[id].receive(message)
    }
  }

  // MARK: Trouble

  func begin(troubleUntil end: Duration) {
    for host in hosts { host.start() }
    for member in members { member.start() }
    for client in clients { client.start() }
    plan(faults.crashes, until: end) { [self] in crashSomething() }
    plan(faults.cuts, until: end) { [self] in cutSomething() }
    plan(faults.clockFaults, until: end) { [self] in turnSomeClock() }
    plan(faults.fullDisks, until: end) { [self] in
      let host = hosts[random(0...hosts.count - 1)]
      host.log.setFull(true)
      after(.milliseconds(random(100...6_000))) { host.log.setFull(false) }
    }
  }

  /// Lets something happen about so many times a minute.
  private func plan(_ count: Int, until end: Duration, _ action: @escaping () -> Void) {
    guard count > 0 else { return }
    after(.milliseconds(random(0...2 * 60_000 / count))) { [self] in
      guard isInTrouble, now < end else { return }
      action()
      plan(count, until: end, action)
    }
  }

  private func crashSomething() {
    if happens(400) {
      let host = hosts[random(0...hosts.count - 1)]
      host.crash()
      after(.milliseconds(random(10...6_000))) { host.start() }
    } else {
      let member = members[random(0...members.count - 1)]
      member.crash()
      after(.milliseconds(random(10...6_000))) { member.start() }
    }
  }

  /// Cuts a member off from some of the streams, or a region from the others; one way or both.
  private func cutSomething() {
    let isOneWay = happens(300)
    var cut: Set<Cut> = []
    let member = RegionEndpoint.member(random(0...members.count - 1))
    let isOfRegion = happens(300)
    let out = random(0...regions.count - 1)
    let all =
      hosts.indices.map { RegionEndpoint.host($0) }
      + members.indices.map { .member($0) } + clients.indices.map { .client($0) }
    for other in all {
      for one in isOfRegion ? all.filter({ region(of: $0) == out }) : [member] {
        guard one != other, !isOfRegion || region(of: other) != out else { continue }
        if !isOfRegion, case .client = other { continue }
        cut.insert(Cut(from: one, to: other))
        if !isOneWay { cut.insert(Cut(from: other, to: one)) }
      }
    }
    cuts.formUnion(cut)
    after(.milliseconds(random(500...12_000))) { [self] in cuts.subtract(cut) }
  }

  private func turnSomeClock() {
    let index = random(0...hosts.count + members.count - 1)
    var clock =
      index < hosts.count ? hosts[index].clock : members[index - hosts.count].clock
    switch random(0...3) {
    case 0: clock.wallOffset += Int64(random(-3_600_000...3_600_000))
    case 1: clock.wallOffset += Int64(random(-500...500))
    case 2: clock.stoppedAt = clock.wallMilliseconds(at: now)
    default: clock.stoppedAt = nil
    }
    if index < hosts.count {
      hosts[index].clock = clock
    } else {
      members[index - hosts.count].clock = clock
    }
  }

  /// Ends all trouble: who is down comes back.
  func mend() {
    isInTrouble = false
    let (drift, retained) = (faults.drift, faults.retainedEntryCount)
    faults = RegionFaults()
    (faults.drift, faults.retainedEntryCount) = (drift, retained)
    cuts = []
    for host in hosts {
      host.log.setFull(false)
      host.clock.stoppedAt = nil
      host.start()
    }
    for member in members {
      member.clock.stoppedAt = nil
      member.start()
    }
  }

  /// That everything is in order again, a while after the trouble ended.
  func checkLiveness() {
    guard violation == nil else { return }
    for group in groups {
      guard let time = oracle.lastIssued(group), time + .seconds(5) > now else {
        return fail(Violation("nobody issues timestamps of group \(group)"))
      }
    }
    for client in clients where !client.isIdle {
      return fail(Violation("client \(client.id) still has no answer"))
    }
    for index in regions.indices {
      let state = oracle.state(of: index)
      guard state.expired(at: state.lastTime).count < 2 else {
        return fail(Violation("transactions of region \(index) that are past their expiry go on"))
      }
    }
  }
}

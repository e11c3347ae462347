import Catalog
import Replay
import StateMachines

/// A node of the world: the production code of store, leader's side and learner's side, in the shell
/// that threads, timers and connections are elsewhere.
final class SimulatedNode {
  let id: Int
  let region: Int
  let isLeader: Bool
  let log: SimulatedLog
  var clock = LocalClock()
  /// Nil while the node is down.
  var process: Process?
  unowned let world: World

  var name: String { isLeader ? "the leader" : "learner \(id)" }

  init(id: Int, region: Int, world: World, catalog: CatalogID) {
    self.id = id
    self.region = region
    self.world = world
    isLeader = id == 0
    log = SimulatedLog(catalog: catalog)
  }

  /// Opens the log and starts, as a process does.
  func start() {
    guard process == nil else { return }
    do {
      let recovered = StoreRecovery(
        log, from: try log.start(), historyCapacity: 64, readsAhead: false)
      let process = Process(self, recovered)
      self.process = process
      if recovered.failure == nil {
        try world.oracle.check(recovered.state, self, world.now)
      } else {
        world.statistics.damagedStarts += 1
      }
      process.begin()
    } catch let violation as Violation {
      world.fail(violation)
    } catch {
      world.fail(Violation("\(name) cannot open its log: \(error)"))
    }
  }

  /// Ends like a process that is killed: nothing in memory is left.
  func crash() {
    guard let process else { return }
    process.isOver = true
    self.process = nil
    log.crash(keeping: world.happens(500))
    world.statistics.crashes += 1
  }
}

extension Oracle {
  /// A node opened its log and found it whole.
  fileprivate func check(
    _ state: CatalogState, _ node: SimulatedNode, _ now: Duration
  ) throws(Violation) {
    if node.isLeader { try leaderRecovered(state, node.log, at: now) }
    try check(state, node.name)
    try check(node.log, node.name)
  }
}

/// What a node has in memory.
final class Process {
  unowned let node: SimulatedNode
  private unowned let world: World
  var isOver = false

  // The store.
  private var core: StoreCore
  private(set) var published: CatalogState
  private(set) var history: CatalogHistory
  private var lookup = CommandLookup()
  private var queue: [Request] = []
  private var isBusy = false

  // The bond to the leader.
  private var session: LearnerSession
  private var freshness = FreshnessBound()
  private(set) var isDiverged = false
  private var era = 0
  private var choice: UpstreamChoice
  /// Whom ``connection`` is to.
  private var followed = UpstreamChoice.Upstream.leader
  /// The looks at other learners that have no answer yet.
  private var looks: [UInt64: String] = [:]
  private var connection: UInt64?
  private var lastHeard = Duration.zero
  private var inbox: [FollowMessage] = []
  private var isTaking = false
  private var stateCall: UInt64?
  private var pause = Duration.milliseconds(50)

  // Those who follow or ask.
  private var served: [UInt64: Served] = [:]
  private var waiting: [WaitingRead] = []
  private var forwarded: [UInt64: (caller: Endpoint, call: UInt64)] = [:]

  private enum Request {
    case command(Command, caller: Endpoint, call: UInt64)
    case replicated([EncodedEntry], then: (StoreError?) -> Void)
    case install(CatalogState, CommandWindow, then: (StoreError?) -> Void)
  }

  private struct Served {
    var session: LeaderSession
    var peer: Endpoint
    var probe: UInt64 = 0
  }

  private struct WaitingRead {
    var caller: Endpoint
    var call: UInt64
    var key: Key
    var minimumVersion: CatalogVersion
    var maximumStaleness: Duration?
    var due: Duration
  }

  init(_ node: SimulatedNode, _ recovered: StoreRecovery) {
    self.node = node
    world = node.world
    var options = StoreOptions(role: node.isLeader ? .leader : .learner)
    options.maximumBatchCount = 8
    core = StoreCore(
      node.log, state: recovered.state, failure: recovered.failure, options: options)
    published = recovered.state
    history = recovered.history
    session = LearnerSession(catalog: node.log.catalog)
    choice = UpstreamChoice(
      own: "\(node.id)", leader: "0", learners: node.world.learners(of: node.region))
  }

  var failure: StoreError? { core.failure }
  private var now: Duration { world.now }
  private var here: Endpoint { .node(node.id) }
  private var localNow: Duration { node.clock.monotonic(at: world.now) }

  /// Does something later, unless the process is over by then.
  private func after(_ delay: Duration, _ body: @escaping () -> Void) {
    world.after(delay) { [self] in if !isOver { body() } }
  }

  private func send(_ message: Message, to endpoint: Endpoint) {
    world.network.send(message, from: here, to: endpoint)
  }

  func begin() {
    if !node.isLeader {
      look()
      connect()
    }
    tick()
  }

  /// Looks at the learners above this one, now and then.
  private func look() {
    for address in choice.above {
      let call = world.nextNumber()
      looks[call] = address
      send(.look(call), to: .node(Int(address) ?? 0))
      after(.milliseconds(1_500)) { [self] in
        if looks[call] != nil { see(call, .unfit("it does not answer")) }
      }
    }
    after(.seconds(1)) { [self] in look() }
  }

  private func see(_ call: UInt64, _ sighting: UpstreamChoice.Sighting) {
    guard let address = looks.removeValue(forKey: call) else { return }
    choice.see(address, sighting, at: localNow)
    goOver()
  }

  /// Follows another one, when that is better.
  private func goOver() {
    guard let connection, best != followed else { return }
    send(.closed(connection), to: .node(upstreamID))
    disconnect()
    connect()
  }

  /// Whom to follow: a learner only once it has come as far as this node, whose history it takes for
  /// another one otherwise.
  private var best: UpstreamChoice.Upstream {
    guard let position = choice.position, position < published.appliedThrough else {
      return choice.current
    }
    return .leader
  }

  /// Looks at the clock now and then: probes, silence, reads whose time is up.
  private func tick() {
    if let connection {
      if localNow - lastHeard > .seconds(4) {
        fail(nil)
      } else {
        send(.question(connection, probe: freshness.probe(at: localNow)), to: .node(upstreamID))
      }
    }
    answerReads()
    after(.milliseconds(500)) { [self] in tick() }
  }

  // MARK: The store's shell

  private func enqueue(_ request: Request) {
    queue.append(request)
    pump()
  }

  /// Gives the core what waits, and shows and answers once the disk has synced.
  private func pump() {
    guard !isBusy, let first = queue.first else { return }
    let wall: () -> UInt64 = { [node, world] in node.clock.wallMilliseconds(at: world.now) }
    switch first {
    case .command:
      var commands: [(command: Command, caller: Endpoint, call: UInt64)] = []
      for request in queue.prefix(8) {
        guard case .command(let command, let caller, let call) = request else { break }
        commands.append((command, caller, call))
      }
      let last = published.appliedThrough
      let commit = core.commit(commands.map(\.command), wall: wall) {
        [self] (id) throws(StoreError) in
        guard world.has(.dedupe) else { return [] }
        return try lookup.positions(of: id, in: node.log, through: last)
      }
      queue.removeFirst(commit.thenAnswer.count)
      let answer = { [self] in
        for (command, result) in zip(commands, commit.thenAnswer) {
          send(.outcome(command.call, result), to: command.caller)
          guard case .success(let receipt) = result else { continue }
          do throws(Violation) {
            try world.oracle.acknowledge(receipt)
          } catch {
            world.fail(error)
          }
        }
      }
      if !world.has(.sync), let publication = commit.publish {
        // The guard is off: shown and answered before it is durable.
        show(publication)
        answer()
        sync(nil) {}
      } else {
        sync(commit.publish, answer)
      }
    case .replicated(let entries, let then):
      queue.removeFirst()
      let intake = core.takeOver(entries)
      sync(intake.publish) { then(intake.thenReport) }
    case .install(let state, let commands, let then):
      queue.removeFirst()
      let intake = core.install(state, commands: commands)
      sync(intake.publish) { then(intake.thenReport) }
    }
  }

  private func sync(_ publication: StoreCore.Publication?, _ answer: @escaping () -> Void) {
    isBusy = true
    let isSlow = world.faults.slowDisks && world.happens(50)
    let latency = Duration.microseconds(
      isSlow ? world.random(100_000...1_500_000) : world.random(300...9_000))
    after(latency) { [self] in
      node.log.settle()
      isBusy = false
      if let publication { show(publication) }
      answer()
      pump()
    }
  }

  private func show(_ publication: StoreCore.Publication) {
    do throws(Violation) {
      if node.isLeader { try world.oracle.leaderShowed(publication.entries, at: now) }
      for version in publication.versions { try world.oracle.check(version.table, node.name) }
      try world.oracle.check(publication.state, node.name)
      if publication.isNewEra { try world.oracle.checkCommands(node.log, node.name) }
    } catch {
      world.fail(error)
    }
    published = publication.state
    if publication.isNewEra {
      history = CatalogHistory(from: publication.state.routes, capacity: 64)
      lookup.forget()
      era += 1
    } else {
      for version in publication.versions {
        _ = history.append(version.table, events: version.events)
      }
      lookup.insert(publication.entries)
    }
    world.note(UInt64(node.id), publication.state.appliedThrough.rawValue, publication.state.digest)
    feedFollowers()
    answerReads()
  }

  // MARK: The learner's side

  private var upstreamID: Int {
    guard case .learner(let address) = followed, let id = Int(address) else {
      return world.leader.id
    }
    return id
  }

  private func disconnect() {
    connection = nil
    inbox = []
    freshness.disconnected()
    world.statistics.reconnects += 1
  }

  private func connect() {
    guard connection == nil else { return }
    guard core.failure == nil else {
      fail(.logNotWhole(core.failure ?? .unusable(reason: "")))
      return
    }
    followed = best
    let id = world.nextNumber()
    connection = id
    session = LearnerSession(catalog: node.log.catalog)
    inbox = []
    lastHeard = localNow
    send(
      .follow(
        id, FollowStart(after: published.appliedThrough, hash: published.lastHash)),
      to: .node(upstreamID))
  }

  /// Takes the next message, once what came before it is stored.
  private func takeNext() {
    guard !isTaking, let connection, !inbox.isEmpty else { return }
    let step = session.take(inbox.removeFirst())
    let finish = { [self] in
      isTaking = false
      guard connection == self.connection else { return }
      if let leader = step.thenHeard { heard(leader) }
      if let failure = step.thenFail { fail(failure) } else { takeNext() }
    }
    guard !step.store.isEmpty else { return finish() }
    isTaking = true
    enqueue(
      .replicated(step.store) { [self] error in
        if let error {
          isTaking = false
          if connection == self.connection { fail(.store(error)) }
          return
        }
        isDiverged = false
        freshness.stored(published.appliedThrough)
        answerReads()
        pause = .milliseconds(50)
        finish()
      })
  }

  private func heard(_ leader: FollowMessage.Heartbeat) {
    freshness.heard(leader, stored: published.appliedThrough)
    if published.appliedThrough >= leader.position { isDiverged = false }
    answerReads()
  }

  /// Ends the following, and does what is to be done about it. nil: the connection broke.
  private func fail(_ failure: FollowFailure?) {
    if let connection { send(.closed(connection), to: .node(upstreamID)) }
    disconnect()
    choice.lost(followed, failure.map { "\($0)" } ?? "the connection broke", at: localNow)
    if best != followed {
      // Whatever is wrong there, another one may do better, and the leader knows best.
      return after(.milliseconds(1)) { [self] in connect() }
    }
    switch failure?.remedy ?? .reconnect {
    case .reconnect:
      after(pause) { [self] in connect() }
      pause = min(pause * 2, .seconds(2))
    case .installState:
      let call = world.nextNumber()
      stateCall = call
      send(.fetchState(call), to: .node(upstreamID))
      after(.seconds(4)) { [self] in
        guard stateCall == call else { return }
        stateCall = nil
        connect()
      }
    case .halt:
      after(.seconds(10)) { [self] in connect() }
    case .diverged:
      isDiverged = true
      freshness.forget()
      world.statistics.divergences += 1
      after(.seconds(10)) { [self] in connect() }
    }
  }

  private func install(_ sent: SentState) {
    let state: CatalogState
    let commands: CommandWindow
    do {
      state = try CatalogState(restoring: sent.header, routes: sent.routes)
      commands = try .received(sent.commands, hash: sent.commandsHash, with: sent.header)
    } catch {
      return after(.seconds(1)) { [self] in connect() }
    }
    guard state.appliedThrough > published.appliedThrough else {
      return after(.seconds(1)) { [self] in connect() }
    }
    world.statistics.installs += 1
    enqueue(.install(state, commands) { [self] _ in connect() })
  }

  // MARK: The leader's side

  private var leaderView: LeaderView {
    LeaderView(era: era, staleness: staleness, state: published)
  }

  private func feedFollowers() {
    for id in served.keys.sorted() { feed(id) }
  }

  private func feed(_ id: UInt64) {
    guard var one = served[id] else { return }
    do throws(StoreError) {
      while true {
        let messages = try one.session.next(leaderView, probe: one.probe)
        guard !messages.isEmpty else { break }
        for message in messages { send(stripped(message, id), to: one.peer) }
      }
      served[id] = one.session.isOver ? nil : one
    } catch {
      served[id] = nil
      send(.closed(id), to: one.peer)
    }
  }

  private func stripped(_ message: FollowMessage, _ id: UInt64) -> Message {
    guard !world.has(.vouching) else { return .stream(id, message) }
    switch message {
    case .entries(let batch, _, let leader):
      return .stream(id, .entries(batch, lastHash: nil, leader))
    case .part(var part):
      part.hash = nil
      return .stream(id, .part(part))
    default: return .stream(id, message)
    }
  }

  // MARK: Reads

  var staleness: Duration? {
    guard core.failure == nil, !isDiverged else { return nil }
    return node.isLeader ? .zero : freshness.staleness(at: localNow)
  }

  private func answerReads() {
    var rest: [WaitingRead] = []
    for read in waiting where !answer(read) {
      if localNow >= read.due {
        send(.unavailable(read.call), to: read.caller)
      } else {
        rest.append(read)
      }
    }
    waiting = rest
  }

  /// False when the node cannot vouch for what is asked for.
  private func answer(_ read: WaitingRead) -> Bool {
    let guarantee = ReadGuarantee(
      version: published.version, staleness: staleness, isDiverged: isDiverged)
    let maximumStaleness = world.has(.staleness) ? read.maximumStaleness : nil
    guard
      guarantee.meets(minimumVersion: read.minimumVersion, maximumStaleness: maximumStaleness),
      let owner = read.key.bytes.withUnsafeBytes({ published.routes.owner(of: $0) })
    else { return false }
    do throws(Violation) {
      try world.oracle.checkAnswer(
        published.version, read.key, owner, maximumStaleness: read.maximumStaleness, at: now,
        drift: world.faults.drift, node.name)
    } catch {
      world.fail(error)
    }
    world.statistics.answers += 1
    send(.answer(read.call, published.version, owner), to: read.caller)
    return true
  }

  private func changes(after version: CatalogVersion?) -> WatchChanges {
    let newest = published.version
    if let version, version >= history.oldest, version <= newest {
      var deltas: [RouteDelta] = []
      var old = history.table(at: version)
      for number in version.rawValue..<newest.rawValue {
        guard let from = old, let next = history.version(CatalogVersion(number + 1)) else { break }
        deltas.append(.between(from, next.table, touching: next.events))
        old = next.table
      }
      return .deltas(deltas)
    }
    return .snapshot(newest, published.routes.routes(overlapping: .all))
  }

  // MARK: Messages

  func receive(_ message: Message, from sender: Endpoint) {
    switch message {
    case .follow(let id, let start):
      do throws(StoreError) {
        let (session, first) = try LeaderSession.begin(
          start, log: node.log, view: leaderView,
          messageByteCount: world.faults.messageByteCount)
        send(.stream(id, first), to: sender)
        if !session.isOver { served[id] = Served(session: session, peer: sender) }
        feed(id)
      } catch {
        send(.closed(id), to: sender)
      }
    case .question(let id, let probe):
      guard let last = served[id]?.probe else { return send(.closed(id), to: sender) }
      served[id]?.probe = max(last, probe)
      feed(id)
    case .stream(let id, let message):
      guard id == connection else { return }
      lastHeard = localNow
      inbox.append(message)
      takeNext()
    case .closed(let id):
      served[id] = nil
      if id == connection { fail(nil) }
    case .look(let call):
      let sighting: UpstreamChoice.Sighting =
        if let failure = core.failure {
          .unfit("\(failure)")
        } else if let staleness {
          .following(
            way: choice.way, staleness: staleness, position: published.appliedThrough)
        } else {
          .unfit("it does not know how fresh it is")
        }
      send(.sighting(call, sighting), to: sender)
    case .sighting(let call, let sighting):
      see(call, sighting)
    case .fetchState(let call):
      guard let commands = try? node.log.commandWindow(through: published.appliedThrough) else {
        return send(.unavailable(call), to: sender)
      }
      let state = SentState(
        header: published.header, routes: published.routes.routes(overlapping: .all),
        commands: commands.bytes, commandsHash: commands.hash)
      send(.state(call, state), to: sender)
    case .state(let call, let state):
      guard call == stateCall else { return }
      stateCall = nil
      install(state)
    case .command(let call, let command, let hops):
      if node.isLeader {
        enqueue(.command(command, caller: sender, call: call))
      } else if hops < 3 {
        let own = world.nextNumber()
        forwarded[own] = (sender, call)
        send(.command(own, command, hops: hops + 1), to: .node(world.leader.id))
        after(.seconds(5)) { [self] in forwarded[own] = nil }
      }
    case .outcome(let call, let result):
      guard let (caller, call) = forwarded.removeValue(forKey: call) else { return }
      send(.outcome(call, result), to: caller)
    case .read(let call, let key, let minimumVersion, let maximumStaleness):
      let read = WaitingRead(
        caller: sender, call: call, key: key, minimumVersion: minimumVersion,
        maximumStaleness: maximumStaleness, due: localNow + .seconds(2))
      if !answer(read) { waiting.append(read) }
    case .watch(let call, let version):
      send(.changes(call, changes(after: version)), to: sender)
    case .answer, .changes, .unavailable: break
    }
  }
}

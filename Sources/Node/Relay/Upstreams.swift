import CadastreClient
import CadastreProtocol
import Catalog
import GRPCCore
import Replay
import Synchronization

/// The nodes that a learner may follow: looks at those that are ranked above it, keeps the
/// connections, and tells whom to follow now; see ``UpstreamChoice``.
package final class Upstreams: Sendable {
  /// One node to follow.
  package struct Upstream: Sendable {
    package let link: LeaderLink
    package let kind: UpstreamChoice.Upstream

    package var isLeader: Bool { kind == .leader }
  }

  private struct State {
    var choice: UpstreamChoice
    /// To the learners above this one, by their addresses.
    var links: [String: LeaderLink] = [:]
    /// Whom nothing is known of yet.
    var unseen: Set<String> = []
    var received: [UpstreamStatus.Receipts] = []
    var isShutDown = false
  }

  package let leader: LeaderLink
  private let options: FollowOptions
  private let connection: ConnectionOptions
  private let clock: NodeClock
  private let state: Mutex<State>
  private let added: AsyncStream<LeaderLink>
  private let add: AsyncStream<LeaderLink>.Continuation
  /// Woken when the choice is another.
  private let changes = WakeHub()

  /// Connects once ``run()`` runs. `own` is the address that others know this learner by; `learners`
  /// are those of the region in their order, this one among them, or none.
  ///
  /// - Throws: ``NodeError`` when an address is none that can be connected to.
  package init(
    leader: NodeAddress, own: NodeAddress, learners: [NodeAddress], options: FollowOptions,
    connection: ConnectionOptions, clock: NodeClock
  ) throws(NodeError) {
    self.leader = try LeaderLink(leader, connection: connection)
    self.options = options
    self.connection = connection
    self.clock = clock
    state = Mutex(
      State(
        choice: UpstreamChoice(
          own: "\(own)", leader: "\(leader)", learners: [], options: options.upstream)))
    (added, add) = AsyncStream.makeStream()
    try rank(learners)
  }

  /// Takes a new order of the region's learners, from wherever it is known.
  ///
  /// - Throws: ``NodeError`` when an address is none that can be connected to; nothing changes.
  package func rank(_ learners: [NodeAddress]) throws(NodeError) {
    var links: [String: LeaderLink] = [:]
    for address in learners {
      links["\(address)"] = try LeaderLink(address, connection: connection)
    }
    let gone = state.withLock { state -> [LeaderLink] in
      guard !state.isShutDown else { return [] }
      let before = state.choice.current
      state.choice.rank(learners.map { "\($0)" })
      let above = Set(state.choice.above)
      let gone = state.links.filter { !above.contains($0.key) }
      for address in gone.keys { state.links[address] = nil }
      for address in above where state.links[address] == nil {
        guard let link = links[address] else { continue }
        state.links[address] = link
        state.unseen.insert(address)
        add.yield(link)
      }
      state.unseen.formIntersection(above)
      if state.choice.current != before { changes.publish() }
      return Array(gone.values)
    }
    for link in gone { link.close() }
  }

  /// Keeps the connections, and looks at those who may be followed, until the task is cancelled.
  package func run() async {
    await withDiscardingTaskGroup { group in
      group.addTask { await self.leader.run() }
      for await link in added {
        group.addTask { await link.run() }
        group.addTask { await self.watch(link) }
      }
    }
  }

  /// Takes no more calls; those under way may end.
  package func shutdown() {
    let links = end()
    for link in links { link.shutdown() }
  }

  /// Fails the calls that are still under way, for good.
  package func close() {
    let links = end()
    for link in links { link.close() }
  }

  private func end() -> [LeaderLink] {
    add.finish()
    changes.close()
    return state.withLock { state in
      state.isShutDown = true
      return [leader] + state.links.values
    }
  }
}

// MARK: Looking at those above

extension Upstreams {
  /// Looks at a learner again and again.
  private func watch(_ link: LeaderLink) async {
    let address = "\(link.address)"
    while !Task.isCancelled, state.withLock({ !$0.isShutDown && $0.links[address] === link }) {
      see(address, await look(at: link))
      try? await Task.sleep(for: options.lookInterval)
    }
  }

  private func look(at link: LeaderLink) async -> UpstreamChoice.Sighting {
    let client = link.client
    do {
      let status = try await client.status(deadline: options.lookTimeout)
      guard status.role == .learner, let learner = status.learner else {
        return .unfit("it leads a catalog itself")
      }
      guard status.condition.isEmpty else { return .unfit(status.condition) }
      guard let staleness = status.stamp.staleness else {
        return .unfit("it does not know how fresh it is")
      }
      // An older node tells no way; it follows its leader.
      let way = learner.upstream.way
      return .following(
        way: way.isEmpty ? [status.leaderAddress] : way, staleness: staleness,
        position: status.position)
    } catch {
      // What swallows the packets of an old connection may let those of a new one through.
      if error.code == .deadlineExceeded { link.replace(client) }
      return .unfit(error.message)
    }
  }

  private func see(_ address: String, _ sighting: UpstreamChoice.Sighting) {
    let now = clock.now().sinceStart
    change { state in
      state.unseen.remove(address)
      state.choice.see(address, sighting, at: now)
    }
  }

  /// Changes the state, and wakes whoever waits for that.
  private func change(_ body: (inout State) -> Void) {
    state.withLock { body(&$0) }
    changes.publish()
  }
}

// MARK: Whom to follow

/// Somebody else is to be followed now.
struct UpstreamChanged: Error, CustomStringConvertible {
  var reason: String
  var description: String { "going over to another node to follow: \(reason)" }
}

extension Upstreams {
  /// Whom to follow now; at the start once each that may be followed was looked at.
  package func current() async -> Upstream {
    await changes.withSubscription { subscription in
      while state.withLock({ !$0.unseen.isEmpty }) {
        switch await subscription.wait() {
        case .changed, .due: continue
        case .closed, .cancelled: return
        }
      }
    }
    return now()
  }

  private func now() -> Upstream {
    state.withLock { state in
      if case .learner(let address) = state.choice.current, let link = state.links[address] {
        return Upstream(link: link, kind: state.choice.current)
      }
      return Upstream(link: leader, kind: .leader)
    }
  }

  /// Whom to follow from `position` on: a learner only once it has come as far itself, since it would
  /// take this one's history for another one otherwise.
  package func current(after position: LogPosition) async -> Upstream {
    var upstream = await current()
    let due = clock.now() + options.upstream.stalenessLimit
    while !upstream.isLeader {
      if state.withLock({ ($0.choice.position ?? .zero) >= position }) { return upstream }
      guard !Task.isCancelled, !changes.isClosed else { return upstream }
      if clock.now() >= due {
        lost(upstream, "it is behind entry \(position), which is here")
      } else {
        try? await Task.sleep(for: min(options.lookInterval, .milliseconds(50)))
        see("\(upstream.link.address)", await look(at: upstream.link))
      }
      upstream = now()
    }
    return upstream
  }

  /// Returns once somebody other than `upstream` is to be followed, or this is shut down.
  func untilOther(than upstream: Upstream) async throws {
    try await changes.withSubscription { subscription in
      while true {
        let (current, reason) = state.withLock { ($0.choice.current, $0.choice.reason) }
        guard current == upstream.kind else { throw UpstreamChanged(reason: reason) }
        switch await subscription.wait() {
        case .changed, .due: continue
        case .closed, .cancelled: throw CancellationError()
        }
      }
    }
  }

  /// Notes that following `upstream` has ended.
  ///
  /// - Returns: Whether somebody else is to be followed now.
  @discardableResult
  package func lost(_ upstream: Upstream, _ problem: String) -> Bool {
    let now = clock.now().sinceStart
    change { $0.choice.lost(upstream.kind, problem, at: now) }
    return self.now().kind != upstream.kind
  }

  /// Counts what came of the log from `upstream`.
  func count(_ message: Wire.FollowResponse, from upstream: Upstream) {
    let (entries, bytes): (Int, Int)
    switch message.kind {
    case .entries(let batch):
      (entries, bytes) = (batch.entries.count, batch.entries.reduce(0) { $0 + $1.count })
    case .chunk(let chunk): (entries, bytes) = (chunk.last ? 1 : 0, chunk.data.count)
    default: return
    }
    let address = "\(upstream.link.address)"
    state.withLock { state in
      let index =
        state.received.firstIndex { $0.address == address } ?? state.received.endIndex
      if index == state.received.endIndex {
        state.received.append(UpstreamStatus.Receipts(address: address))
      }
      state.received[index].entries += UInt64(entries)
      state.received[index].bytes += UInt64(bytes)
    }
  }

  package var status: UpstreamStatus {
    state.withLock { state in
      var status = UpstreamStatus()
      status.way = state.choice.way
      status.isRelay = state.choice.isRelay
      status.reason = state.choice.reason
      status.changeCount = state.choice.changeCount
      status.received = state.received
      return status
    }
  }
}

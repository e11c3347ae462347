import CadastreClient
import GRPCCore
import Replay
import Synchronization

/// A member's connection to whoever leads its cluster: a new one for each lead.
final class LeaderLinks: Sendable {
  private struct State {
    var current: (leader: LeaderRecord, link: LeaderLink)?
    /// Those whose calls may not have ended yet.
    var former: [LeaderLink] = []
    var isShutDown = false
  }

  /// How members are called.
  let connection: ConnectionOptions
  private let state = Mutex(State())
  private let added: AsyncStream<LeaderLink>
  private let add: AsyncStream<LeaderLink>.Continuation

  /// Connects once ``run()`` runs.
  init(connection: ConnectionOptions) {
    self.connection = connection
    (added, add) = AsyncStream.makeStream()
  }

  /// The connection to a leader; that to the one before it takes no more calls.
  ///
  /// - Throws: ``NodeError`` when the leader's address is none that can be connected to.
  func link(to leader: LeaderRecord) throws(NodeError) -> LeaderLink {
    if let link = state.withLock({ $0.current?.leader == leader ? $0.current?.link : nil }) {
      return link
    }
    let address: NodeAddress
    do {
      address = try NodeAddress(leader.member.address)
    } catch {
      throw NodeError(
        .unavailable, "\(leader.member.name) announces an address that is none: \(error)")
    }
    let made = try LeaderLink(address, connection: connection)
    let (link, gone) = state.withLock { state -> (LeaderLink, LeaderLink?) in
      if let current = state.current, current.leader == leader { return (current.link, made) }
      let former = state.current?.link
      state.current = (leader, made)
      if let former { state.former = state.former.suffix(8) + [former] }
      if !state.isShutDown { add.yield(made) }
      return (made, former)
    }
    gone?.shutdown()
    return link
  }

  /// Keeps the connections until the task is cancelled.
  func run() async {
    await withDiscardingTaskGroup { group in
      for await link in added { group.addTask { await link.run() } }
    }
  }

  /// Takes no more calls; those under way may end.
  func shutdown() {
    for link in end() { link.shutdown() }
  }

  /// Fails the calls that are still under way, for good.
  func close() {
    for link in end() { link.close() }
  }

  private func end() -> [LeaderLink] {
    add.finish()
    return state.withLock { state in
      state.isShutDown = true
      return state.former + (state.current.map { [$0.link] } ?? [])
    }
  }
}

import CadastreClient
import CadastreProtocol
import Catalog
import GRPCCore
import Replay
import StateMachines
import Synchronization

/// Has commands decided by whoever leads the cluster: by this node's own store, or by another member,
/// through a ``CircuitBreaker``. While nobody leads, commands wait.
///
/// A command that failed on its way is sent again under its id: it is carried out once.
package final class ClusterSink: CommandSink {
  /// Passes a command on to a leader, within a time, as passed on so many times.
  typealias Forward =
    @Sendable (LeaderRecord, Command, Duration, Int) async throws(NodeError) -> CommandReceipt

  private let core: NodeCore
  private let member: MemberName
  private let forwardTimeout: Duration
  private let breaker: Mutex<CircuitBreaker>
  private let forward: Forward
  private let leads: Confirm

  /// Asks whether a term leads still.
  typealias Confirm = @Sendable (ClusterTerm) async -> Bool

  init(
    _ core: NodeCore, member: MemberName, options: CircuitBreaker.Options,
    forwardTimeout: Duration, leads: @escaping Confirm = { _ in true },
    forward: @escaping Forward
  ) {
    self.leads = leads
    self.core = core
    self.member = member
    self.forwardTimeout = forwardTimeout
    breaker = Mutex(CircuitBreaker(options: options))
    self.forward = forward
  }

  convenience init(
    _ core: NodeCore, links: LeaderLinks, options: ClusterOptions, following: FollowOptions
  ) {
    let stream = options.stream
    self.init(
      core, member: options.name, options: options.breaker,
      forwardTimeout: following.forwardTimeout,
      leads: { term in (try? await stream.leader())??.term == term }
    ) { (leader, command, timeout, hops) throws(NodeError) in
      let link = try links.link(to: leader)
      let client = link.client
      do throws(NodeError) {
        return try await client.submit(
          command, deadline: timeout, hops: hops, onBehalfOf: Caller.current?.name)
      } catch {
        // What swallows the packets of an old connection may let those of a new one through.
        if error.code == .deadlineExceeded { link.replace(client) }
        throw error
      }
    }
  }

  /// Takes note of who leads now.
  func point(to leader: LeaderRecord?) {
    // Where it is this node, commands wait until it has taken up the lead.
    let other = leader.flatMap { $0.member.name == member ? nil : $0 }
    breaker.withLock { $0.point(to: other) }
    core.leads.publish()
  }

  package func submit(
    _ command: Command, timeout: Duration?, hops: Int
  ) async throws(NodeError) -> CommandReceipt {
    // A little less than the caller waits, so that it hears what happened.
    let patience = timeout.map { $0 - min($0 / 10, .milliseconds(100)) } ?? forwardTimeout
    let due = core.clock.now() + patience
    let result = await core.leads.withSubscription {
      subscription -> Result<CommandReceipt, NodeError> in
      while true {
        switch await attempt(command, due: due, hops: hops) {
        case .done(let result): return result
        case .again(let pause):
          let now = core.clock.now()
          guard now < due else { return .failure(leaderUnavailable("nobody leads")) }
          switch await subscription.wait(until: pause.map { min(now + $0, due) } ?? due) {
          case .changed, .due: continue
          case .closed: return .failure(Self.shuttingDown)
          case .cancelled: return .failure(NodeError(.cancelled, "the call was cancelled"))
          }
        }
      }
    }
    return try result.get()
  }

  private enum Step {
    case done(Result<CommandReceipt, NodeError>)
    /// To be tried again when something has changed, or after a pause.
    case again(after: Duration?)
  }

  private func attempt(_ command: Command, due: Moment, hops: Int) async -> Step {
    guard !core.leads.isClosed else { return .done(.failure(Self.shuttingDown)) }
    if core.role == .leader { return await decide(command, hops: hops) }
    let (admission, leader) = breaker.withLock {
      ($0.admit(at: core.clock.now().sinceStart), $0.leader)
    }
    switch (admission, leader) {
    case (.refuse, _):
      return .done(
        .failure(leaderUnavailable("it could not be reached time and again", leader)))
    case (.call(let ticket), let leader?):
      return await call(leader, ticket, command, due: due, hops: hops)
    case (.wait, _), (.call, nil):
      return .again(after: nil)
    }
  }

  /// Has a command decided here. What was appended was fenced by the append; what was refused, or done
  /// before, was judged by this node's state alone, which is the newest one only while it leads: another
  /// may have led since, and this node not know it yet.
  private func decide(_ command: Command, hops: Int) async -> Step {
    let term = core.store.shared?.term
    let result: Result<CommandReceipt, NodeError>
    do {
      let receipt = try await LeaderSink(core).submit(command, timeout: nil, hops: hops)
      if receipt.outcome == .appended { return .done(.success(receipt)) }
      result = .success(receipt)
    } catch {
      // The lead was lost in the meantime, and nothing written.
      if error.reason == "not_leader" { return .again(after: Self.pause) }
      // These are no judgements of what the catalog holds.
      if error.code == .unavailable || error.code == .resourceExhausted {
        return .done(.failure(error))
      }
      result = .failure(error)
    }
    guard let term, await leads(term) else { return .again(after: Self.pause) }
    return .done(result)
  }

  private func call(
    _ leader: LeaderRecord, _ ticket: CircuitBreaker.Ticket, _ command: Command, due: Moment,
    hops: Int
  ) async -> Step {
    let left = due - core.clock.now()
    guard left > .zero, hops < CommandForwarding.maximumHops else {
      note { $0.abandoned(ticket) }
      return .done(.failure(leaderUnavailable("the command was passed on and on", leader)))
    }
    do {
      let receipt = try await forward(leader, command, left, hops + 1)
      note { $0.succeeded(ticket, at: core.clock.now().sinceStart) }
      return .done(.success(receipt))
    } catch {
      if error.code == .cancelled {
        note { $0.abandoned(ticket) }
        return .done(.failure(error))
      }
      guard error.tellsOfNoLeader else {
        note { $0.succeeded(ticket, at: core.clock.now().sinceStart) }
        return .done(.failure(error))
      }
      note { $0.failed(ticket, at: core.clock.now().sinceStart) }
      if error.code == .deadlineExceeded { return .done(.failure(error)) }
      return .again(after: Self.pause)
    }
  }

  /// Tells the breaker how a call went, and those who wait for that.
  private func note(_ body: (inout CircuitBreaker) -> Void) {
    breaker.withLock { body(&$0) }
    core.leads.publish()
  }

  private func leaderUnavailable(_ why: String, _ leader: LeaderRecord? = nil) -> NodeError {
    NodeError(
      .unavailable, reason: "leader_unavailable",
      "the leader"
        + (leader.map { ", \($0.member.name) at \($0.member.address)," } ?? "")
        + " cannot decide the command now: \(why)",
      remedy: "send the command again with the same command id"
    ) { $0.leaderAddress = leader?.member.address ?? "" }
  }

  private static let pause = Duration.milliseconds(20)

  private static let shuttingDown = NodeError(
    .unavailable, reason: "shutting_down", "this node is shutting down",
    remedy: "send the command to another node with the same command id")
}

extension NodeError {
  /// Whether the node that was called does not lead, or did not answer.
  fileprivate var tellsOfNoLeader: Bool {
    if isUnreachable || code == .deadlineExceeded { return true }
    switch reason {
    case "not_leader", "shutting_down", "leader_unavailable": return true
    default: return false
    }
  }
}

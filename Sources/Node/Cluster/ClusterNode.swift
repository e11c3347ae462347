import CadastreClient
import Catalog
import Logging
import Replay
import StateMachines
import Synchronization

/// Keeps a member in step with the stream that its cluster shares: follows it, and leads when it is this
/// member's turn.
final class ClusterNode: Sendable {
  let core: NodeCore
  let sink: ClusterSink
  let links: LeaderLinks
  let options: ClusterOptions
  let following: FollowOptions
  /// Who leads, as last heard.
  private let known = Mutex<LeaderRecord?>(nil)
  /// From where entries are taken.
  let tail: Mutex<TailChoice>
  /// Where others reach this node; empty until that is known.
  let ownAddress = Mutex("")

  init(
    _ core: NodeCore, sink: ClusterSink, links: LeaderLinks, options: ClusterOptions,
    following: FollowOptions
  ) {
    self.core = core
    self.sink = sink
    self.links = links
    self.options = options
    self.following = following
    tail = Mutex(TailChoice(options: options.tail))
  }

  var stream: any SharedStream { options.stream }

  /// Who leads, as last heard; nil when nobody is known to.
  var leader: LeaderRecord? { known.withLock { $0 } }

  var isOver: Bool { Task.isCancelled || core.changes.isClosed }

  /// Takes part until the node shuts down, and gives back the lead then. Others reach the node at
  /// `address`.
  func run(at address: NodeAddress) async {
    let member = ClusterMember(name: options.name, address: "\(address)")
    ownAddress.withLock { $0 = member.address }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.follow() }
      group.addTask { await self.probe() }
      group.addTask { await self.watchLeader() }
      group.addTask { await self.lead(as: member) }
      group.addTask { await self.report(as: member) }
    }
  }

  /// Does something again and again, with a pause that grows while it fails, until the node shuts down.
  /// `body` is to end then.
  func keep(_ what: String, _ body: @Sendable () async throws -> Void) async {
    var backoff = Backoff(first: following.firstPause, maximum: following.maximumPause)
    var generator = SystemRandomNumberGenerator()
    while !isOver {
      let start = core.clock.now()
      let failure: any Error
      do {
        try await body()
        continue
      } catch {
        failure = error
      }
      if isOver { return }
      if core.clock.now() - start > following.maximumPause { backoff.reset() }
      let pause = backoff.next(using: &generator)
      core.logger.warning(
        "could not \(what): trying again",
        metadata: [
          "stream": "\(stream.name)", "error": "\(failure.problem)", "pause": "\(pause)",
        ])
      guard await sleep(pause) else { return }
    }
  }

  /// Sleeps; false when the node shuts down.
  func sleep(_ pause: Duration) async -> Bool {
    do {
      try await untilClosed { try await Task.sleep(for: pause) }
      return true
    } catch {
      return false
    }
  }

  /// Runs `body`, and cancels it when the node shuts down.
  ///
  /// - Throws: What `body` throws; `CancellationError` when it was cancelled.
  func untilClosed(_ body: @escaping @Sendable () async throws -> Void) async throws {
    guard try await unless(core.changes, body) else { throw CancellationError() }
  }

  private func watchLeader() async {
    await keep("learn who leads") { [self] in
      try await untilClosed { [self] in
        try await stream.watchLeader { self.note($0) }
      }
    }
  }

  private func note(_ leader: LeaderRecord?) {
    known.withLock { $0 = leader }
    core.leaderAddress = leader?.member.address ?? ""
    core.updateCluster { status in
      status.leader = leader?.member.name.name
      status.term = max(status.term, leader?.term.rawValue ?? 0)
    }
    sink.point(to: leader)
  }
}

extension Error {
  /// What is wrong, for a line of the log.
  var problem: String {
    (self as? SharedStreamError).map(\.problem) ?? "\(self)"
  }
}

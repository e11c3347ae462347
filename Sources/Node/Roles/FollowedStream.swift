import CadastreClient
import GRPCCore
import Replay
import Synchronization

/// Follows a stream of another node for as long as it lasts: runs `follow`, which takes what comes and
/// calls `heard` for each message, and asks the node again and again what `question` makes. Ends with
/// whichever is first: `follow`, `other`, no question any more, or the node's own shutdown.
///
/// `node` is who is followed, for people. No `question` at a moment means that the stream is not to be
/// followed any more. `silent` is called when nothing was heard for ``FollowOptions/silenceLimit``.
///
/// - Throws: What `follow` or `other` throws; ``NodeError`` after the silence.
func followStream(
  of node: NodeAddress, by core: NodeCore, _ options: FollowOptions,
  asking question: @escaping @Sendable (Moment) -> FollowProgress?,
  until other: (@Sendable () async throws -> Void)? = nil,
  orSilent silent: @escaping @Sendable () -> Void = {},
  _ follow:
    @escaping @Sendable (
      _ questions: AsyncStream<FollowProgress>, _ heard: @escaping @Sendable () -> Void
    ) async throws -> Void
) async throws {
  let (questions, ask) = AsyncStream.makeStream(
    of: FollowProgress.self, bufferingPolicy: .bufferingNewest(1))
  let lastHeard = LastHeard(core.clock.now())
  try await withThrowingTaskGroup(of: Void.self) { group in
    defer {
      ask.finish()
      group.cancelAll()
    }
    group.addTask { try await follow(questions) { lastHeard.note(core.clock.now()) } }
    group.addTask {
      while true {
        let now = core.clock.now()
        guard now - lastHeard.at < options.silenceLimit else {
          silent()
          throw NodeError(
            .unavailable, "nothing was heard of \(node) for \(options.silenceLimit)")
        }
        guard let question = question(now) else { return }
        ask.yield(question)
        try await Task.sleep(for: options.probeInterval)
      }
    }
    if let other { group.addTask { try await other() } }
    group.addTask {
      await core.changes.untilClosed()
      throw CancellationError()
    }
    try await group.next()
  }
}

/// When something was last heard.
private final class LastHeard: Sendable {
  private let moment: Mutex<Moment>
  init(_ moment: Moment) { self.moment = Mutex(moment) }
  var at: Moment { moment.withLock { $0 } }
  func note(_ moment: Moment) { self.moment.withLock { $0 = moment } }
}

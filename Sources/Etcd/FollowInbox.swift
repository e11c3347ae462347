import Catalog
import Replay
import Synchronization

/// What was read for a follower that it has yet to take.
///
/// What waits is taken together: a follower that is behind stores many appends with one commit, and not
/// each with its own. Whoever reads waits while much is waiting: the window may be far larger than what a
/// slow follower should have in memory.
final class FollowInbox: Sendable {
  /// A follower is given appends of about so many bytes at a time, and one at the least.
  static let byteCount = 4 << 20

  private struct State {
    var waiting: [SharedAppend] = []
    var byteCount = 0
    var failure: (any Error)?
  }

  /// With so many bytes waiting nothing more is read.
  private let waitingByteCount: Int
  private let state = Mutex(State())
  private let signals: AsyncStream<Void>
  private let signal: AsyncStream<Void>.Continuation
  /// Tell that something was taken.
  private let rooms: AsyncStream<Void>
  private let room: AsyncStream<Void>.Continuation

  init(waitingByteCount: Int = 4 * FollowInbox.byteCount) {
    self.waitingByteCount = waitingByteCount
    (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    (rooms, room) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Adds what comes next.
  func put(_ append: SharedAppend) {
    state.withLock { state in
      state.waiting.append(append)
      state.byteCount += append.byteCount
    }
    signal.yield()
  }

  /// Waits until so much was taken that more may be put; one task at a time.
  ///
  /// - Throws: `CancellationError`.
  func untilRoom() async throws {
    while state.withLock({ $0.byteCount >= waitingByteCount }) {
      try Task.checkCancellation()
      for await _ in rooms { break }
    }
  }

  /// Nothing comes any more, for this reason. What waits is given first.
  func fail(_ error: any Error) {
    state.withLock { $0.failure = error }
    signal.yield()
  }

  /// Lends all that comes, until `body` throws, something fails or the task is cancelled.
  ///
  /// - Throws: What `body` throws, what failed, `CancellationError`.
  func drain(into body: @Sendable (SharedAppend) async throws -> Void) async throws {
    for await _ in signals {
      while let append = take() { try await body(append) }
      if let failure = state.withLock({ $0.waiting.isEmpty ? $0.failure : nil }) { throw failure }
    }
    throw CancellationError()
  }

  /// What waits, as one append; nil when nothing does.
  func take() -> SharedAppend? {
    defer { room.yield() }
    return state.withLock { state in
      guard var taken = state.waiting.first else { return nil }
      var byteCount = taken.byteCount
      var count = 1
      for append in state.waiting.dropFirst() {
        byteCount += append.byteCount
        guard byteCount <= Self.byteCount else { break }
        taken.entries += append.entries
        // A word on the end may be older than the append that it was read beside.
        if append.tail.position > taken.tail.position { taken.tail = append.tail }
        count += 1
      }
      state.waiting.removeFirst(count)
      state.byteCount -= taken.byteCount
      return taken
    }
  }
}

extension SharedAppend {
  fileprivate var byteCount: Int { entries.reduce(0) { $0 + $1.bytes.count } }
}

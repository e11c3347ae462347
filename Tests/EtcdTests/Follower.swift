import Catalog
import Etcd
import Replay

/// Follows a stream from its making on, and keeps what it is told until somebody asks.
final class Follower: Sendable {
  private let appends: AsyncThrowingStream<[EncodedEntry], any Error>
  private let following: Task<Void, Never>

  init(_ stream: EtcdStream, after position: LogPosition = LogPosition(0)) {
    let (appends, output) = AsyncThrowingStream<[EncodedEntry], any Error>.makeStream()
    self.appends = appends
    following = Task {
      do {
        try await stream.follow(after: position) { output.yield($0.entries) }
        output.finish()
      } catch {
        output.finish(throwing: error)
      }
    }
  }

  deinit { following.cancel() }

  /// Waits for so many entries more; of the append with the last of them all are there.
  func next(_ count: Int) async throws -> [EncodedEntry] {
    var entries: [EncodedEntry] = []
    for try await append in appends {
      entries += append
      if entries.count >= count { break }
    }
    return entries
  }
}

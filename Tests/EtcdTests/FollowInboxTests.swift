import Catalog
@testable import Etcd
import Replay
import Synchronization
import Testing

struct FollowInboxTests {
  private struct Broken: Error {}

  private final class Count: Sendable {
    private let count = Mutex(0)

    var value: Int { count.withLock { $0 } }

    func add(_ number: Int) { count.withLock { $0 += number } }
  }

  private func appends(_ entries: [EncodedEntry]) -> [SharedAppend] {
    entries.map { SharedAppend(entries: [$0], tail: LogTail($0)) }
  }

  @Test func whatCameMeanwhileIsTakenTogether() async throws {
    let entries = try StreamEntries.make(count: 6, width: 1)
    let inbox = FollowInbox()
    var rest = appends(entries)
    inbox.put(rest.removeFirst())
    let late = rest
    let taken = Mutex<[[EncodedEntry]]>([])
    await #expect(throws: Broken.self) {
      try await inbox.drain { append in
        let isFirst = taken.withLock { taken in
          taken.append(append.entries)
          return taken.count == 1
        }
        if isFirst {
          for append in late { inbox.put(append) }
          // What waits comes before the end.
          inbox.fail(Broken())
        }
      }
    }
    #expect(taken.withLock { $0 } == [[entries[0]], Array(entries[1...])])
  }

  @Test func anOldWordDoesNotMoveTheEndBack() throws {
    let entries = try StreamEntries.make(count: 3, width: 1)
    let inbox = FollowInbox()
    for append in appends(entries) { inbox.put(append) }
    inbox.put(SharedAppend(entries: [], tail: LogTail(entries[0])))
    #expect(inbox.take()?.tail == LogTail(entries[2]))
    #expect(inbox.take() == nil)
  }

  @Test func noMoreIsTakenThanOneCommitShouldHave() throws {
    // Together more than one commit should have, and each less.
    let entries = try StreamEntries.make(count: 20, width: 4_000)
    let inbox = FollowInbox()
    for append in appends(entries) { inbox.put(append) }
    var found: [EncodedEntry] = []
    var times = 0
    while let append = inbox.take() {
      #expect(append.entries.reduce(0) { $0 + $1.bytes.count } <= FollowInbox.byteCount)
      #expect(append.tail == append.entries.last.map { LogTail($0) })
      found += append.entries
      times += 1
    }
    #expect(found == entries)
    #expect(times > 1 && times < entries.count)
  }

  /// Whoever reads for a follower that takes nothing stops, and goes on once something is taken.
  @Test func noMoreIsReadThanMayWait() async throws {
    let entries = try StreamEntries.make(count: 40, width: 1)
    let total = entries.reduce(0) { $0 + $1.bytes.count }
    let longest = entries.reduce(0) { max($0, $1.bytes.count) }
    let room = total / 4
    let inbox = FollowInbox(waitingByteCount: room)
    let put = Count()
    let all = appends(entries)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        for append in all {
          try await inbox.untilRoom()
          inbox.put(append)
          put.add(append.entries.reduce(0) { $0 + $1.bytes.count })
        }
      }
      var taken: [EncodedEntry] = []
      while taken.count < entries.count {
        let limit = room + longest + taken.reduce(0) { $0 + $1.bytes.count }
        #expect(put.value <= limit)
        if let append = inbox.take() { taken += append.entries } else { await Task.yield() }
      }
      #expect(taken == entries)
      try await group.waitForAll()
    }
    // One that is given up while it waits for room ends.
    for append in all { inbox.put(append) }
    let waiting = Task { try await inbox.untilRoom() }
    waiting.cancel()
    await #expect(throws: CancellationError.self) { try await waiting.value }
  }
}

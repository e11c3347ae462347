import Catalog
import Foundation
import Replay
import Synchronization

/// A shared stream in memory: what ``SharedStream`` promises, at its simplest, and whatever may go wrong
/// with it, at the word of a test.
package final class MemoryCluster: Sendable {
  /// What happens to an append.
  package enum AppendFault: Hashable, Sendable {
    case unavailable
    /// The appender hears nothing of an append that happened, or did not.
    case unknown(isDone: Bool)
    /// The appender hears nothing of an append that happens when its term ends.
    case unknownUntilTermEnds
  }

  struct Contents {
    var catalog: CatalogID?
    var start = LogTail(
      position: .zero, hash: EntryHash(of: UnsafeRawBufferPointer(start: nil, count: 0)),
      version: .zero)
    /// All appends since the start, trimmed or not.
    var appends: [[EncodedEntry]] = []
    var trimmedThrough = LogPosition.zero
    var leader: LeaderRecord?
    var lastTerm: UInt64 = 0
    /// Who was named to lead after the term that leads, or that has ended.
    var successor: (id: UInt64, member: ClusterMember)?
    var campaigns: [(id: UInt64, member: ClusterMember)] = []
    var won: [UInt64: ClusterTerm] = [:]
    /// Why terms ended.
    var ends: [ClusterTerm: String] = [:]
    var late: [EncodedEntry] = []
    var progress: [MemberName: (progress: MemberProgress, until: ContinuousClock.Instant)] = [:]
    var listeners: [UInt64: AsyncStream<Void>.Continuation] = [:]
    var nextID: UInt64 = 0
    var usage: SharedStreamUsage?

    var tail: LogTail { appends.last.flatMap(Self.tail) ?? start }

    /// Where an append ends.
    static func tail(_ append: [EncodedEntry]) -> LogTail? {
      append.last.map {
        LogTail(position: $0.entry.position, hash: $0.hash, version: $0.entry.version)
      }
    }

    /// What a follower that has come to `position` is told next: one append, or that there is none.
    func append(after position: LogPosition) -> SharedAppend {
      let next = appends.first { $0.contains { $0.entry.position > position } } ?? []
      return SharedAppend(
        entries: next.filter { $0.entry.position > position }, tail: Self.tail(next) ?? tail)
    }

    mutating func makeID() -> UInt64 {
      nextID += 1
      return nextID
    }

    /// Ends the term that leads, and begins that of whoever waits longest.
    mutating func endTerm(_ why: String) {
      if let leader {
        // An append whose outcome was unknown may happen until now.
        if let first = late.first, first.entry.position == tail.position.next {
          appends.append(late)
        }
        late = []
        ends[leader.term] = why
      }
      leader = nil
      elect()
    }

    mutating func elect() {
      guard leader == nil else { return }
      let index = campaigns.firstIndex { campaign in
        successor.map { $0.member.name == campaign.member.name } ?? true
      }
      guard let index else { return }
      let next = campaigns.remove(at: index)
      successor = nil
      lastTerm += 1
      leader = LeaderRecord(member: next.member, term: ClusterTerm(lastTerm))
      won[next.id] = ClusterTerm(lastTerm)
    }
  }

  let name: String
  private let contents = Mutex(Contents())

  package init(name: String = "memory") { self.name = name }

  /// A member's way to the stream.
  package func connect() -> MemoryStream { MemoryStream(self) }

  /// Changes what is there, and wakes who waits.
  func change<Result>(_ body: (inout Contents) -> Result) -> Result {
    let (result, listeners) = contents.withLock { contents in
      (body(&contents), Array(contents.listeners.values))
    }
    for listener in listeners { listener.yield() }
    return result
  }

  func look<Result>(_ body: (Contents) -> Result) -> Result { contents.withLock { body($0) } }

  /// A wake-up for each change; look after the call.
  func changes() -> (wakeUps: AsyncStream<Void>, id: UInt64) {
    let (stream, continuation) = AsyncStream.makeStream(
      of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let id = contents.withLock { contents in
      let id = contents.makeID()
      contents.listeners[id] = continuation
      return id
    }
    return (stream, id)
  }

  func forget(_ id: UInt64) { contents.withLock { $0.listeners[id] = nil } }
}

// MARK: What tests ask and do

extension MemoryCluster {
  /// Ends the lead, as a lease that ran out does; another member takes it.
  package func endTerm(_ why: String = "its lease ran out") { change { $0.endTerm(why) } }

  package var leader: LeaderRecord? { look { $0.leader } }

  /// Everything that was ever appended.
  package var entries: [EncodedEntry] { look { $0.appends.flatMap(\.self) } }

  package var trimmedThrough: LogPosition { look { $0.trimmedThrough } }

  package var progress: [MemberProgress] { look { $0.progress.values.map(\.progress) } }

  /// Takes entries through a position out of the window, whoever needs them.
  package func trim(through position: LogPosition) {
    change { $0.trimmedThrough = max($0.trimmedThrough, position) }
  }

  package func setUsage(_ usage: SharedStreamUsage?) { change { $0.usage = usage } }
}

extension MemoryCluster {
  /// Ends the term that leads and begins one of `member`, without a campaign.
  package func elect(_ member: ClusterMember) -> ClusterTerm {
    change { contents in
      contents.campaigns.insert((contents.makeID(), member), at: 0)
      contents.endTerm("another was elected")
      return contents.leader?.term ?? ClusterTerm(0)
    }
  }

  /// Begins the stream with the first entry of a catalog.
  package func create(_ catalog: CatalogID) {
    change { contents in
      contents.catalog = catalog
      contents.start = LogTail(position: .zero, hash: .genesis(of: catalog), version: .zero)
    }
  }
}

import Catalog
import StateMachines
import Testing

@testable import Replay

@Suite struct LearnerSessionTests {
  private let leader = FollowMessage.Heartbeat(
    position: LogPosition(5), version: CatalogVersion(5), probe: 0, staleness: .zero)

  @Test func aBatchIsStoredBeforeTheLeaderIsBelieved() throws {
    let (entries, _) = try makeEntries(5)
    var session = LearnerSession(catalog: testCatalog)
    let step = session.take(
      .entries(entries.map(\.bytes), lastHash: entries.last?.hash, leader))
    #expect(step.store == entries)
    #expect(step.thenHeard == leader)
    #expect(step.thenFail == nil)
  }

  /// An actor's name is in no digest: an entry with another one applies, and only the next names
  /// the entry that it should be.
  @Test func anEntryThatTheNextDoesNotNameIsNotStored() throws {
    let (entries, _) = try makeEntries(5)
    for index in entries.indices {
      var damaged = entries[index].entry
      damaged.actor = "tesu"
      var batch = entries.map(\.bytes)
      batch[index] = try damaged.encoded()
      var session = LearnerSession(catalog: testCatalog)
      let step = session.take(.entries(batch, lastHash: entries.last?.hash, leader))
      #expect(step.store == Array(entries[..<index]))
      #expect(step.thenFail == .damagedOnTheWay(entries[index].entry.position))
      #expect(step.thenFail?.remedy == .reconnect)
      #expect(step.thenHeard == nil)
    }
  }

  @Test func partsMakeAnEntry() throws {
    let (entries, _) = try makeEntries(2)
    var session = LearnerSession(catalog: testCatalog)
    let bytes = entries[0].bytes
    for (offset, byte) in bytes.enumerated() {
      let step = session.take(
        .part(
          FollowMessage.EntryPart(
            position: LogPosition(1), bytes: [byte], isLast: offset == bytes.count - 1,
            entryByteCount: bytes.count, hash: entries[0].hash)))
      #expect(step.store == (offset == bytes.count - 1 ? [entries[0]] : []))
      #expect(step.thenFail == nil)
    }
  }
}

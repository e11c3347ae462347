import Catalog
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// Notes among commands: appended in order, on disk and in every copy, without a version.
@Suite struct StoreNoteTests {
  let folder = TemporaryFolder()
  let clock = TestClock()

  private func note(_ id: UInt64, _ version: UInt64, at position: UInt64) -> Note {
    Note(
      id: commandID(id), reason: "a test",
      events: [
        .catalogCommitted(
          CatalogCommitment(
            version: CatalogVersion(version), position: LogPosition(position),
            routesRoot: MerkleHash(leaf: [1]), logRoot: MerkleHash(leaf: [2])))
      ])
  }

  @Test func notesAreAppendedInOrderWithCommands() async throws {
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, wallMilliseconds: clock.read)
    _ = try await store.submit(command(1, oneRoute))
    let table = store.current.version
    let receipt = try await store.append(note(2, 1, at: 1))
    #expect(receipt.outcome == .appended)
    #expect(receipt.position == LogPosition(2))
    #expect(receipt.version == CatalogVersion(1))
    #expect(store.current.version == table)
    #expect(store.retainedVersions == CatalogVersion(0)...CatalogVersion(1))
    let split = try await store.submit(command(3, split("m")))
    #expect(split.position == LogPosition(3))
    #expect(split.version == CatalogVersion(2))
    #expect(store.delta(to: CatalogVersion(2))?.upserted.count == 2)

    // Again: once. Something else under its id, or a command under a note's: refused.
    #expect(try await store.append(note(2, 1, at: 1)).outcome == .repeated)
    let reused = CommandFailure.commandIDReused(commandID(2), position: LogPosition(2))
    await #expect(throws: reused) { try await store.append(note(2, 1, at: 0)) }
    await #expect(throws: reused) { try await store.submit(command(2, oneRoute)) }
    let earlier = CommandFailure.commandIDReused(commandID(3), position: LogPosition(3))
    await #expect(throws: earlier) { try await store.append(note(3, 1, at: 1)) }

    #expect(try store.position(of: CatalogVersion(1)) == LogPosition(1))
    #expect(try store.position(of: CatalogVersion(2)) == LogPosition(3))
    let digest = store.current.digest
    store.close()
    await #expect(throws: CommandFailure.closed) { try await store.append(note(9, 1, at: 1)) }

    let again = try CatalogStore.open(folder: folder.path, wallMilliseconds: clock.read)
    defer { again.close() }
    #expect(again.condition == nil)
    #expect(again.current.digest == digest)
    #expect(again.current.version == CatalogVersion(2))
    #expect(again.retainedVersions == CatalogVersion(0)...CatalogVersion(2))
    #expect(try again.receipt(of: commandID(2))?.version == CatalogVersion(1))
    #expect(try await again.append(note(2, 1, at: 1)).outcome == .repeated)
  }

  @Test func notesAmongManyCommandsTakeNoneOfTheirPlaces() async throws {
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, wallMilliseconds: clock.read)
    defer { store.close() }
    _ = try await store.submit(command(1, oneRoute))
    // All at once, so that commands and notes wait beside each other.
    let receipts = try await withThrowingTaskGroup(of: Receipt.self) { group in
      for number in UInt64(2)..<202 {
        let isNote = number % 7 == 0
        let note = note(number, 1, at: 1)
        group.addTask {
          isNote
            ? try await store.append(note)
            : try await store.submit(command(number, split(padded(number))))
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(receipts.allSatisfy { $0.outcome == .appended })
    #expect(Set(receipts.map(\.position)).count == 200)
    #expect(store.current.appliedThrough == LogPosition(201))
  }

  @Test func aLearnerTakesNotesOverAndMakesNone() async throws {
    let leader = try CatalogStore.create(
      folder: folder.appending("leader"), catalog: testCatalog, wallMilliseconds: clock.read)
    defer { leader.close() }
    _ = try await leader.submit(command(1, oneRoute))
    try await leader.append(note(2, 1, at: 1))
    try await leader.append(note(3, 1, at: 2))
    _ = try await leader.submit(command(4, split("m")))

    let learner = try CatalogStore.create(
      folder: folder.appending("learner"), catalog: testCatalog,
      options: StoreOptions(role: .learner), wallMilliseconds: clock.read)
    defer { learner.close() }
    await #expect(throws: CommandFailure.notLeader) { try await learner.append(note(9, 1, at: 1)) }
    let entries = try leader.entries(from: LogPosition(1), maxCount: 9)
    #expect(entries.count == 4)
    try learner.appendReplicated(Array(entries[..<3]))
    #expect(learner.current.version == CatalogVersion(1))
    #expect(learner.current.appliedThrough == LogPosition(3))
    // The same again, and on from the middle.
    try learner.appendReplicated(entries)
    #expect(learner.current.header == leader.current.header)
    #expect(learner.delta(to: CatalogVersion(2))?.upserted.count == 2)
  }

  @Test func notesThatTheLogEndsWithAreReplayed() async throws {
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, wallMilliseconds: clock.read)
    _ = try await store.submit(command(1, oneRoute))
    for number in UInt64(2)..<40 { try await store.append(note(number, 1, at: number - 1)) }
    let header = store.current.header
    store.close()
    var options = StoreOptions()
    options.historyCapacity = 8
    let again = try CatalogStore.open(
      folder: folder.path, options: options, wallMilliseconds: clock.read)
    defer { again.close() }
    #expect(again.current.header == header)
    #expect(again.retainedVersions.upperBound == CatalogVersion(1))
    #expect(again.condition == nil)
  }
}

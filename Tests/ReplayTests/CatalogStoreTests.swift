import Catalog
import Replay
import StateMachines
import TestSupport
import Testing

@Suite struct CatalogStoreTests {
  let folder = TemporaryFolder()
  let clock = TestClock()

  @Test func commandsSurviveReopening() async throws {
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, wallMilliseconds: clock.read)
    let first = try await store.submit(command(1, oneRoute))
    #expect(first.outcome == .appended)
    #expect(first.version == CatalogVersion(1))
    #expect(first.newRoutes == [RouteID(1)])
    let second = try await store.submit(command(2, split("m")))
    #expect(second.position == LogPosition(2))
    #expect(second.newRoutes == [RouteID(2)])
    let digest = store.current.digest
    store.close()

    let again = try CatalogStore.open(folder: folder.path, wallMilliseconds: clock.read)
    #expect(again.current.digest == digest)
    #expect(again.current.version == CatalogVersion(2))
    #expect(again.condition == nil)
    #expect(again.table(at: CatalogVersion(1))?.count == 1)
    #expect(again.delta(to: CatalogVersion(2))?.upserted.count == 2)
    let repeated = try await again.submit(command(2, split("m")))
    #expect(repeated.outcome == .repeated)
    #expect(repeated.newRoutes == [RouteID(2)])
    await #expect(throws: CommandFailure.commandIDReused(commandID(2), position: LogPosition(2))) {
      try await again.submit(command(2, split("n")))
    }
    let done = try await again.submit(command(3, split("m")))
    #expect(done.outcome == .alreadyDone)
    again.close()
    await #expect(throws: CommandFailure.closed) { try await again.submit(command(4, split("z"))) }
  }
}

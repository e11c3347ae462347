import Catalog
import StateMachines
import Synchronization
import TestSupport
import Testing

@testable import Replay

@Suite struct MapGrowthTests {
  let folder = TemporaryFolder()
  let clock = TestClock()

  /// Options of a log that starts with hardly any room.
  private func tiny(maximum: Int = 1 << 30) -> StoreOptions {
    var options = StoreOptions()
    options.commitsToCheckpoints = false  // Entries are counted here.
    options.log.initialMapSize = 64 << 10
    options.log.maximumMapSize = maximum
    // A commitment after a checkpoint would be an entry more.
    options.checkpoints = .onRequest
    return options
  }

  /// Moves each route in turn, so that entries are made without the routes growing in number.
  private func move(_ number: UInt64) -> Command {
    command(number, .move([RouteID(1)], to: GroupID(number)))
  }

  @Test func theMapGrowsWhileReadersRead() async throws {
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: tiny(), wallMilliseconds: clock.read)
    _ = try await store.submit(command(1, oneRoute))
    let isDone = Atomic(false)
    let readers = try (0..<3).map { _ throws(StoreError) in
      try WorkerThread(name: "reader") {
        while !isDone.load(ordering: .relaxed) {
          let last = store.current.appliedThrough
          let read = (try? store.entries(from: LogPosition(1), maxCount: 2_000)) ?? []
          #expect(read.count >= min(2_000, Int(last.rawValue)))
        }
      }
    }
    await withTaskGroup(of: Void.self) { group in
      for number in UInt64(2)...1_000 {
        group.addTask {
          await #expect(throws: Never.self) { try await store.submit(move(number)) }
        }
      }
    }
    isDone.store(true, ordering: .relaxed)
    for reader in readers { reader.join() }
    #expect(store.current.appliedThrough == LogPosition(1_000))
    store.close()
    let log = try EventLog.open(folder: folder.path, mode: .readOnly)
    #expect(log.mapSize > 64 << 10)
    #expect(try Verifier(log).verify().entryCount == 1_000)
  }

  @Test func aFullLogRefusesAndKeepsWhatItHas() async throws {
    let limit = 256 << 10
    var store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: tiny(maximum: limit),
      wallMilliseconds: clock.read)
    _ = try await store.submit(command(1, oneRoute))
    var accepted: UInt64 = 1
    var failure: CommandFailure?
    while failure == nil, accepted < 2_000 {
      do throws(CommandFailure) {
        _ = try await store.submit(move(accepted + 1))
        accepted += 1
      } catch {
        failure = error
      }
    }
    #expect(failure == .storage(.logFull(limit: limit)))
    #expect(store.current.appliedThrough == LogPosition(accepted))
    // It is full, and not broken.
    #expect(store.condition == nil)
    #expect(try store.entries(from: LogPosition(accepted), maxCount: 9).count == 1)
    store.close()

    store = try CatalogStore.open(
      folder: folder.path, options: tiny(), wallMilliseconds: clock.read)
    #expect(store.current.appliedThrough == LogPosition(accepted))
    _ = try await store.submit(move(accepted + 1))
    store.close()
    let log = try EventLog.open(folder: folder.path, mode: .readOnly)
    #expect(try Verifier(log).verify().entryCount == accepted + 1)
  }

  @Test func anEntryMuchLargerThanTheMapFits() async throws {
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: tiny(), wallMilliseconds: clock.read)
    let seeds = (0..<4_000).map { number in
      RouteSeedRequest(
        start: number == 0 ? .least : Key(unchecked: Array(padded(UInt64(number)).utf8) * 20),
        group: GroupID(1))
    }
    let receipt = try await store.submit(command(1, .bootstrap(seeds)))
    #expect(receipt.newRoutes.count == 4_000)
    store.close()
  }
}

private func * (bytes: [UInt8], count: Int) -> [UInt8] {
  Array(repeatElement(bytes, count: count).joined())
}

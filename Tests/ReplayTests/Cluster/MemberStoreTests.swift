import Catalog
import ClusterSupport
import Replay
import StateMachines
import Synchronization
import Testing

/// A store that shares its log, with its own thread and disk.
@Suite(.timeLimit(.minutes(5))) struct MemberStoreTests {
  private let clock = TestClock()

  private func open(
    _ folder: TemporaryFolder, _ stream: MemoryStream
  ) throws -> CatalogStore {
    try CatalogStore.open(
      folder: folder.path, options: StoreOptions(role: .member), sharing: stream,
      wallMilliseconds: clock.read)
  }

  @Test func decidesWhileItLeadsAndItsFolderIsItsClusters() async throws {
    let folder = TemporaryFolder()
    try EventLog.create(folder: folder.path, catalog: testCatalog).releaseForWriting()
    let cluster = MemoryCluster(name: "north")
    cluster.create(testCatalog)
    let store = try open(folder, cluster.connect())
    let log = try #require(store.shared)
    await #expect(throws: CommandFailure.notLeader) { try await store.submit(command(1, oneRoute)) }
    let term = cluster.elect(
      ClusterMember(name: try MemberName("one"), address: "here:1"))
    let state = store.current
    try log.lead(
      in: term,
      after: LogTail(
        position: state.appliedThrough, hash: state.lastHash, version: state.version)
    ) { _, _ in }
    #expect(try await store.submit(command(1, oneRoute)).outcome == .appended)
    #expect(cluster.entries.count == 1)
    log.stopLeading()
    await #expect(throws: CommandFailure.notLeader) {
      try await store.submit(command(2, split("m")))
    }
    #expect(store.condition == nil)
    store.close()

    let error = StoreError.ofCluster(folder: folder.path, "north")
    for role in [StoreRole.leader, .learner] {
      #expect(throws: error) {
        try CatalogStore.open(
          folder: folder.path, options: StoreOptions(role: role), wallMilliseconds: clock.read)
      }
    }
    #expect(throws: error) { try open(folder, MemoryCluster(name: "south").connect()) }
    #expect(error.description.contains("cluster north") && error.description.contains("--log"))
    let again = try open(folder, cluster.connect())
    #expect(again.current.header == store.current.header)
    again.close()
    let keeper = try EventLog.open(folder: folder.path, mode: .readOnly).keeper()
    #expect(keeper == .cluster("north"))
  }
}

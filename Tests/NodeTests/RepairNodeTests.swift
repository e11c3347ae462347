import CadastreClient
import Catalog
import Foundation
import GRPCCore
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// A damaged folder, mended from a node that serves.
@Suite(.timeLimit(.minutes(5))) struct RepairNodeTests {
  private func reason(_ number: Int) -> String { "a reason that is easy to find: \(number)." }

  /// Flips a bit in every copy of the reason that the log in `folder` has.
  private func damage(_ folder: String, _ number: Int) throws {
    let file = URL(filePath: folder + "/data.mdb")
    var bytes = try Data(contentsOf: file)
    var place = bytes.startIndex
    while let found = bytes[place...].range(of: Data(reason(number).utf8)) {
      bytes[found.lowerBound] ^= 1
      place = found.upperBound
    }
    #expect(place > bytes.startIndex)
    try bytes.write(to: file)
  }

  /// A leader that serves, and the folder of a learner that was stopped.
  private func withLeaderAndCopy(
    _ body: (TestNode, String) async throws -> Void
  ) async throws {
    try await withLeader { leader in
      try await leader.client.submit(.test(oneRoute))
      for number in 1...30 {
        var command = Command.test(split("key \(number)"))
        command.reason = reason(number)
        try await leader.client.submit(command)
      }
      let folder = TemporaryFolder()
      let learner = try await TestNode(
        .learner(of: leader.address), folder: folder.appending("copy"))
      try await reach(learner, CatalogVersion(31))
      try await learner.stop()
      try await body(leader, folder.appending("copy"))
      withExtendedLifetime(folder) {}
    }
  }

  @Test func theDamagedEntriesAreFetchedFromAServer() async throws {
    try await withLeaderAndCopy { leader, copy in
      try damage(copy, 7)
      try damage(copy, 19)
      let damaged = try await cadastre("verify", "--log", copy, "--json")
      #expect(damaged.status == 3)
      let dry = try await cadastre(
        "repair", "--log", copy, "--from", "\(leader.address)", "--dry-run", "--json")
      #expect(dry.status == 0, "\(dry.errors)")
      #expect(try dry.json["damaged_entries"].array.map { try $0["first"].number } == [8, 20])
      let repaired = try await cadastre(
        "repair", "--log", copy, "--from", "\(leader.address)", "--json")
      #expect(repaired.status == 0, "\(repaired.errors)")
      #expect(try repaired.json["fetched_entries"].number == 2)
      let head = leader.core.store.current.lastHash
      #expect(try repaired.json["proven"]["head_hash"].string == "\(head)")
      let verified = try await cadastre("verify", "--log", copy, "--json")
      #expect(verified.status == 0, "\(verified.errors)")
      // The learner goes on where it was.
      let learner = try await TestNode(.learner(of: leader.address), folder: copy)
      try await withNode(learner) { learner in
        try await leader.client.submit(.test(split("zz")))
        try await reach(learner, CatalogVersion(32))
        #expect(try await learner.client.status().condition.isEmpty)
      }
    }
  }

  @Test func aLostFolderIsMadeAnew() async throws {
    try await withLeaderAndCopy { leader, copy in
      try FileManager.default.removeItem(atPath: copy + "/data.mdb")
      let repaired = try await cadastre("repair", "--log", copy, "--from", "\(leader.address)")
      #expect(repaired.status == 0, "\(repaired.errors)")
      let verified = try await cadastre("verify", "--log", copy, "--json")
      #expect(try verified.json["position"].number == 31)
    }
  }

  /// A log that begins after a state whose members were others than those of now.
  @Test func aDamagedBaseWithMembersIsFetchedFromAServer() async throws {
    try await withLeader { leader in
      func perform(_ change: RouteChange) async throws {
        _ = try await leader.client.submit(.test(change))
      }
      let europe = try Region("europe")
      func home(_ group: UInt64) -> RouteChange {
        .membership(.setHomes([GroupID(group)], europe, evenIfViolating: false))
      }
      try await perform(oneRoute)
      try await perform(split("a key that is easy to find: 1."))
      try await perform(.membership(.enable(.members)))
      for group in UInt64(7)...9 { try await perform(home(group)) }
      let base = leader.core.store.current
      for group in UInt64(10)...12 { try await perform(home(group)) }
      try await perform(split("m"))
      let folder = TemporaryFolder()
      let copy = folder.appending("copy")
      do {
        let entries = try EventLog.open(folder: leader.folder, mode: .readOnly)
          .entries(from: base.appliedThrough.next, maxCount: 100, maxBytes: 1 << 20)
        let log = try EventLog.create(folder: copy, catalog: testCatalog)
        try log.install(base: base)
        try log.append(entries)
        try log.setMirror(true)
        log.releaseForWriting()
      }
      let file = URL(filePath: copy + "/data.mdb")
      var bytes = try Data(contentsOf: file)
      var place = bytes.startIndex
      while let found = bytes[place...].range(of: Data("a key that is easy to find".utf8)) {
        bytes[found.lowerBound] ^= 1
        place = found.upperBound
      }
      #expect(place > bytes.startIndex)
      try bytes.write(to: file)
      #expect(try await cadastre("verify", "--log", copy).status == 3)
      let repaired = try await cadastre(
        "repair", "--log", copy, "--from", "\(leader.address)", "--json")
      #expect(repaired.status == 0, "\(repaired.errors)")
      let status = try await cadastre("status", "--log", copy, "--json")
      #expect(try status.json["digest"].string == "\(leader.core.store.current.digest)")
      let verified = try await cadastre("verify", "--log", copy)
      #expect(verified.status == 0, "\(verified.errors)")
      withExtendedLifetime(folder) {}
    }
  }

  @Test func aPeerThatIsNotThereIsSaid() async throws {
    try await withLeaderAndCopy { leader, copy in
      try damage(copy, 7)
      let failed = try await cadastre("repair", "--log", copy, "--from", "127.0.0.1:1", "--json")
      #expect(failed.status != 0)
      #expect(try failed.error["message"].string.contains("127.0.0.1:1"))
      let inUse = try await cadastre("repair", "--log", leader.folder, "--from", copy, "--json")
      #expect(inUse.status == 6, "\(inUse.output)")
    }
  }
}

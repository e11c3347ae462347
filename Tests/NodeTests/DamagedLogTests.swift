import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// Nodes whose log has a flipped bit in it.
@Suite(.timeLimit(.minutes(5))) struct DamagedLogTests {
  private static let demand = ReadDemand(maximumStaleness: .seconds(3600))

  /// A change with a reason that can be found in the log's file.
  private func command(_ key: String) -> Command {
    var command = Command.test(split(key))
    command.reason = reason(key)
    return command
  }

  private func reason(_ key: String) -> String { "a reason that is easy to find: \(key)" }

  /// Flips a bit in every copy of the reason that the log in `folder` has.
  private func damage(_ folder: String, _ key: String) throws {
    let file = URL(filePath: folder + "/data.mdb")
    var bytes = try Data(contentsOf: file)
    var place = bytes.startIndex
    while let found = bytes[place...].range(of: Data(reason(key).utf8)) {
      bytes[found.lowerBound] ^= 1
      place = found.upperBound
    }
    #expect(place > bytes.startIndex)
    try bytes.write(to: file)
  }

  private func damagedLeader(_ folder: TemporaryFolder, _ key: String) async throws -> TestNode {
    let leader = try await TestNode.leader(folder)
    try await leader.client.submit(.test(oneRoute))
    for key in ["g", "m", "t"] { try await leader.client.submit(command(key)) }
    try await leader.stop()
    try damage(leader.folder, key)
    return try await TestNode(.leader, folder: leader.folder)
  }

  @Test(arguments: ["g", "m", "t"])
  func aDamagedLeaderDoesNotCallItselfFresh(key: String) async throws {
    let folder = TemporaryFolder()
    try await withNode(try await damagedLeader(folder, key)) { leader in
      let status = try await leader.client.status()
      #expect(!status.condition.isEmpty)
      #expect(status.stamp.staleness == nil)
      #expect(status.newestVersion == status.version)
      #expect(status.version < CatalogVersion(5))
      let stale = await refusal { try await leader.client.resolve(Key("a"), demand: Self.demand) }
      #expect(stale?.code == .unavailable)
      #expect(stale?.reason == "storage")
      #expect(stale?.detail?.remedy.isEmpty == false)
      // What is proven stays what it is.
      let proven = ReadDemand(minimumVersion: status.version)
      #expect(try await leader.client.resolve(Key("a"), demand: proven).stamp.staleness == nil)
      let later = ReadDemand(minimumVersion: CatalogVersion(9))
      let never = await refusal { try await leader.client.resolve(Key("a"), demand: later) }
      #expect(never?.reason == "storage")
    }
  }

  @Test func onlyWhatIsProvenIsSentToLearners() async throws {
    let folder = TemporaryFolder()
    try await withNode(try await damagedLeader(folder, "g")) { leader in
      // The damaged entry applies, since no digest covers a reason; the one after it names another.
      #expect(leader.core.store.current.appliedThrough == LogPosition(2))
      let log = try EventLog.open(folder: leader.folder, mode: .readOnly, provesEnd: false)
      let proven = try Replayer(log).replay(through: LogPosition(1))
      let learner = try await TestNode(
        .learner(of: leader.address), folder: folder.appending("learner"))
      try await withNode(learner) { learner in
        try await until {
          let status = try await learner.client.status()
          return status.learner?.leaderPosition == proven.appliedThrough && status.learner?.lag == 0
        }
        // Long enough for entries that must not come.
        for _ in 0..<10 { try await Task.sleep(for: .milliseconds(20)) }
        let status = try await learner.client.status()
        #expect(status.learner?.isConnected == true)
        #expect(status.learner?.reconnects == 0)
        #expect(learner.core.store.current.header == proven.header)
        let stale = await refusal {
          try await learner.client.resolve(Key("a"), demand: Self.demand, deadline: .seconds(30))
        }
        #expect(stale?.reason == "behind")
      }
    }
  }

  @Test func aLearnerWhoseLastEntryIsDamagedServesWhatIsProven() async throws {
    let folder = TemporaryFolder()
    try await withLeader { leader in
      try await leader.client.submit(.test(oneRoute))
      for key in ["g", "m"] { try await leader.client.submit(command(key)) }
      let path = folder.appending("learner")
      try await withNode(try await TestNode(.learner(of: leader.address), folder: path)) {
        try await reach($0, CatalogVersion(3))
      }
      try damage(path, "m")
      let learner = try await TestNode(.learner(of: leader.address), folder: path)
      try await withNode(learner) { learner in
        #expect(try await learner.client.resolve(Key("a")).stamp.staleness == nil)
        try await until {
          try await learner.client.status().learner?.lastError.contains("takes no entries") == true
        }
        #expect(try await learner.client.status().condition.contains("cadastre repair"))
        let stale = await refusal {
          try await learner.client.resolve(Key("a"), demand: Self.demand)
        }
        #expect(stale?.reason == "storage")
      }
    }
  }
}

import ArgumentParser
import CadastreClient
import Catalog
import Replay
import StateMachines
import Testing

@testable import Node

@Suite struct ArgumentTests {
  private let here = [
    CatalogOptions.serverVariable: "there:1", CatalogOptions.logVariable: "/a/folder",
  ]

  @Test func optionsNameTheCatalogBeforeTheEnvironment() throws {
    #expect(try CatalogOptions.parse(["--log", "x"]).place(environment: here) == .folder("x"))
    #expect(
      try CatalogOptions.parse(["--server", "host:7"]).place(environment: here)
        == .server(NodeAddress(host: "host", port: 7), ConnectionOptions()))
    let none = try CatalogOptions.parse([])
    #expect(
      try none.place(environment: here)
        == .server(NodeAddress(host: "there", port: 1), ConnectionOptions()))
    #expect(
      try none.place(environment: [CatalogOptions.logVariable: "/a/folder"])
        == .folder("/a/folder"))
    #expect(throws: ValidationError.self) {
      try none.place(environment: [CatalogOptions.serverVariable: ""])
    }
    #expect(throws: (any Error).self) {
      try none.place(environment: [CatalogOptions.serverVariable: "no address"])
    }
    #expect(throws: (any Error).self) {
      try CatalogOptions.parse(["--log", "x", "--server", "h:1"])
    }
  }

  @Test func writesCarryTheirOptions() throws {
    let id = String(repeating: "0f", count: 16)
    let options = try WriteOptions.parse([
      "--command-id", id, "--expected-version", "7", "--actor", "ada", "--reason", "why not",
    ])
    let command = try options.command(.move([RouteID(1)], to: GroupID(2)))
    #expect(command.id.description == id)
    #expect(command.expectedVersion == CatalogVersion(7))
    #expect(command.actor == "ada")
    #expect(command.reason == "why not")

    let bare = try WriteOptions.parse([])
    let first = try bare.command(.move([RouteID(1)], to: GroupID(2)))
    let second = try bare.command(.move([RouteID(1)], to: GroupID(2)))
    #expect(first.id != second.id)
    #expect(!first.actor.isEmpty)
  }

  @Test func textThatTheLogWouldNotKeepIsRefused() {
    let long = String(repeating: "x", count: LogEntry.maximumTextByteCount + 1)
    for option in ["--actor", "--reason"] {
      #expect(throws: (any Error).self) { try AuthorOptions.parse([option, long]) }
    }
  }

  @Test func readsCarryTheirDemands() throws {
    #expect(try ReadOptions.parse([]).demand == .none)
    let demand = try ReadOptions.parse(["--min-version", "9", "--max-staleness", "250ms"]).demand
    #expect(demand.minimumVersion == CatalogVersion(9))
    #expect(demand.maximumStaleness == .milliseconds(250))
  }

  @Test func serversCarryTheirPolicies() throws {
    let policy = try CheckpointOptions.parse(["--checkpoint-versions", "50"]).policy
    #expect(policy.versions == 50)
    #expect(policy.age == CheckpointPolicy().age)
    let aged = try CheckpointOptions.parse(["--checkpoint-age", "30s"]).policy
    #expect(aged.age == .seconds(30))
    #expect(aged.versions == 1_000)
    #expect(throws: (any Error).self) {
      try CheckpointOptions.parse(["--checkpoint-versions", "0"])
    }

    #expect(!(try RetentionOptions.parse([]).isGiven))
    let kept = try RetentionOptions.parse(["--keep-log", "30d", "--keep-weekly", "forever"])
    #expect(kept.isGiven)
    #expect(kept.policy.log == .seconds(30 * 86_400))
    #expect(kept.policy.weekly == nil)
    #expect(try RetentionOptions.parse(["--keep-log", "forever"]).policy.log == nil)
  }

  @Test func refusalsArePartedIntoWhatIsWrongAndWhatToDo() {
    #expect(Problem.parts(of: "it broke: mend it") == ("it broke", "mend it"))
    #expect(Problem.parts(of: "it broke") == ("it broke", nil))
    // A colon within a key does not part.
    #expect(
      Problem.parts(of: #""a: b" is taken: choose "c: d""#) == (
        #""a: b" is taken"#, #"choose "c: d""#
      ))
    #expect(Problem.parts(of: #""a: b" is taken"#) == (#""a: b" is taken"#, nil))
  }

  @Test func statusAndCodeAreTheSameForAFolderAndAServer() {
    let refusal = Refusal.noSuchRoute(RouteID(9), nextRouteID: RouteID(3))
    let local = Problem(.refused(refusal), at: CatalogVersion(2))
    #expect(local.status == .notFound)
    #expect(local.code == "no-such-route")
    let remote = Problem(NodeError(refusal, current: CatalogVersion(2)))
    #expect(remote.json.description == local.json.description)
  }

  @Test func theStatusTableIsAsDocumented() {
    #expect(ExitStatus.allCases.map(\.rawValue) == [0, 1, 2, 3, 4, 5, 6, 130])
  }
}

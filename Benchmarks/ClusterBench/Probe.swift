import BenchSupport
import CadastreClient
import Catalog
import Foundation
import StateMachines

extension ClusterBench {
  /// Sends one command after the other, each until it is acknowledged, as a program does that knows
  /// all members.
  func probe() async throws {
    var options = CatalogClient.Options()
    // The pauses are not what is measured.
    options.retry.firstPause = .milliseconds(5)
    options.retry.maximumPause = .milliseconds(20)
    options.retry.maximumEjection = .milliseconds(100)
    options.retry.budget = 100_000
    options.connection.firstPause = .milliseconds(5)
    options.connection.maximumPause = .milliseconds(50)
    let client = try CatalogClient(nodes: nodes.map { CatalogEndpoint($0) }, options)
    let pause = Duration.seconds(pause)
    try await client.whileRunning { client in
      while true {
        let change = CatalogCommand.Change.split([SplitRequest(at: try randomKey())])
        let command = CatalogCommand(
          id: client.makeCommandID(), change, actor: "bench@host", reason: "probe")
        let (sent, failures) = (now(), try await client.untilAcknowledged(command))
        report("cluster.probe", [("sent", sent), ("acknowledged", now()), ("failures", failures)])
        try await Task.sleep(for: pause)
      }
    }
  }

  private func randomKey() throws -> Key { try Key(text: "\(UUID())") }

  /// Waits until a node has stored an entry, and prints when that was, and where it was when it first
  /// answered.
  func untilStored(at address: NodeAddress) async throws {
    var connection = ConnectionOptions()
    connection.firstPause = .milliseconds(5)
    connection.maximumPause = .milliseconds(10)
    let position = LogPosition(position)
    try await NodeClient.with(address, connection: connection) { node in
      var status = try await node.untilReady()
      let (firstAt, first) = (now(), status.position)
      while status.position < position {
        try await Task.sleep(for: .milliseconds(2))
        status = try await node.untilReady()
      }
      report(
        "cluster.stored",
        [
          ("first_at", firstAt), ("first_position", first.rawValue), ("at", now()),
          ("position", status.position.rawValue),
        ])
    }
  }
}

extension CatalogClient {
  /// Has a command carried out, however long that takes.
  ///
  /// - Returns: How often it failed before.
  /// - Throws: ``CatalogClientError`` when the command is refused.
  fileprivate func untilAcknowledged(_ command: CatalogCommand) async throws -> Int {
    var failures = 0
    while true {
      do {
        _ = try await submit(command, deadline: .seconds(60))
        return failures
      } catch {
        guard error.kind == .unavailable || error.kind == .unknown else { throw error }
        failures += 1
        try await Task.sleep(for: .milliseconds(5))
      }
    }
  }
}

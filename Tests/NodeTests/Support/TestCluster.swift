import CadastreClient
import Catalog
import ClusterSupport
import GRPCCore
import Replay
import StateMachines
import TestSupport

@testable import Node

/// Nodes of a test's own that share one stream in memory.
final class TestCluster: Sendable {
  let memory: MemoryCluster
  let folder = TemporaryFolder()

  init(name: String = "memory/test") { memory = MemoryCluster(name: name) }

  /// Makes the folder of a member that has the catalog from its beginning.
  func prepare(_ name: String) throws {
    try EventLog.create(folder: folder.appending(name), catalog: testCatalog).releaseForWriting()
  }

  /// Starts a member in its folder, which is made where there is none.
  func start(
    _ name: String,
    _ configure: (inout NodeConfiguration, inout ClusterOptions) -> Void = { _, _ in }
  ) async throws -> TestMember {
    let stream = memory.connect()
    var options = ClusterOptions(stream: stream, name: try MemberName(name))
    options.reportInterval = .milliseconds(20)
    let node = try await TestNode(
      .member(of: options), folder: folder.appending(name)
    ) { configuration in
      configuration.limits.patience = .seconds(60)
      configure(&configuration, &options)
      configuration.role = .member(of: options)
    }
    return TestMember(node: node, stream: stream, name: options.name)
  }

  /// Runs members with these names, the first of which has the catalog, for as long as `body` takes.
  func run(
    _ names: String...,
    configure: (inout NodeConfiguration, inout ClusterOptions) -> Void = { _, _ in },
    _ body: ([TestMember]) async throws -> Void
  ) async throws {
    try prepare(names[0])
    var members: [TestMember] = []
    for name in names { members.append(try await start(name, configure)) }
    do {
      try await body(members)
    } catch {
      for member in members { try? await member.stop() }
      throw error
    }
    for member in members { try await member.stop() }
  }

  /// Waits until somebody leads, in a later term than `term`, and takes commands.
  func leader(
    of members: [TestMember], after term: ClusterTerm? = nil
  ) async throws -> TestMember {
    while true {
      if let record = memory.leader, record.term > term ?? ClusterTerm(0),
        let leader = members.first(where: { $0.name == record.member.name }),
        leader.node.core.role == .leader
      {
        return leader
      }
      try await Task.sleep(for: .milliseconds(2))
    }
  }
}

/// A member, and its way to the stream.
struct TestMember: Sendable {
  let node: TestNode
  let stream: MemoryStream
  let name: MemberName

  var state: CatalogState { node.core.store.current }

  /// Shuts down in good order. Again: a no-op.
  func stop() async throws { try await node.stop() }

  /// Sends a command again and again under its id until it has an answer that is no matter of who leads.
  @discardableResult
  func insist(_ command: Command) async throws(NodeError) -> CommandReceipt {
    while true {
      do {
        return try await node.client.submit(command, deadline: .seconds(5))
      } catch {
        guard error.code == .unavailable || error.code == .deadlineExceeded else { throw error }
        try? await Task.sleep(for: .milliseconds(5))
      }
    }
  }
}

import CadastreClient
import Catalog
import Replay

/// What etcd alone knows of a cluster: its members need not answer.
struct ClusterOverview: Sendable {
  var catalog: CatalogID
  var tail: LogTail
  var trimmedThrough: LogPosition
  var leader: LeaderRecord?
  /// Those that said lately how far they have stored the log.
  var members: [MemberProgress]
  var usage: SharedStreamUsage?

  /// Reads it, each part by a linearizable read of its own: a log that goes on meanwhile ends later
  /// than where members are seen.
  ///
  /// - Throws: ``StoreError/stream(_:_:)``, as when there is no such cluster.
  static func read(_ stream: any SharedStream) async throws(StoreError) -> Self {
    do {
      return try await readParts(stream)
    } catch {
      throw .stream(stream.name, error)
    }
  }

  private static func readParts(
    _ stream: any SharedStream
  ) async throws(SharedStreamError) -> Self {
    guard let catalog = try await stream.catalog() else { throw .missing(stream.name) }
    let members = try await stream.progress()
    return ClusterOverview(
      catalog: catalog, tail: try await stream.tail(),
      trimmedThrough: try await stream.trimmedThrough(), leader: try await stream.leader(),
      members: members, usage: try await stream.usage())
  }

  /// Which entries etcd holds, for people.
  var window: String {
    trimmedThrough < tail.position
      ? "entries \(trimmedThrough.next) to \(tail.position)" : "no entries"
  }

  func role(of member: MemberProgress) -> String {
    member.member.name == leader?.member.name ? "leader" : "member"
  }

  /// How many entries a member has yet to store.
  func lag(of member: MemberProgress) -> UInt64 {
    tail.position.rawValue - min(tail.position, member.storedThrough).rawValue
  }
}

/// What members say of themselves when they are asked.
struct MemberAnswers: Sendable {
  /// How long each may take to answer.
  static let deadline: Duration = .seconds(3)

  /// Of each member, in the order in which they were asked.
  var answers: [Result<NodeStatus, NodeError>]

  /// Asks all of them at once.
  static func ask(_ members: [MemberProgress], _ connection: ConnectionOptions) async -> Self {
    await withTaskGroup(of: (Int, Result<NodeStatus, NodeError>).self) { group in
      for (index, member) in members.enumerated() {
        group.addTask { (index, await ask(at: member.member.address, connection)) }
      }
      var answers: [(Int, Result<NodeStatus, NodeError>)] = []
      for await answer in group { answers.append(answer) }
      return MemberAnswers(answers: answers.sorted { $0.0 < $1.0 }.map(\.1))
    }
  }

  private static func ask(
    at text: String, _ connection: ConnectionOptions
  ) async -> Result<NodeStatus, NodeError> {
    do {
      let address = try NodeAddress(text)
      return .success(
        try await NodeClient.with(address, connection: connection) {
          try await $0.status(deadline: deadline)
        })
    } catch {
      return .failure(NodeError(any: error))
    }
  }
}

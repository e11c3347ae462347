import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Replay
import StateMachines
import SwiftProtobuf

/// A learner's question, and how far it has come itself.
package struct FollowProgress: Hashable, Sendable {
  /// Rising from 1; answered by number.
  package var probe: UInt64
  package var stored: LogPosition

  package init(probe: UInt64, stored: LogPosition) {
    self.probe = probe
    self.stored = stored
  }
}

/// A part of a checkpoint on its way.
package enum CheckpointPart: Sendable {
  /// The row of the root: always first.
  case root([UInt8])
  /// The records of the members and regions, where there are any: before the nodes.
  case members([UInt8])
  /// Ascending by id.
  case nodes([CheckpointStore.Node])
  /// The records of the commands that are known up to the checkpoint, and what vouches for them:
  /// after the nodes. Not from nodes of earlier releases.
  case commands([UInt8], EntryHash)
}

/// A state that came from a node, yet to be proven.
package struct FetchedState: Sendable {
  package var header: StateMachines.StateHeader
  package var routes: [Route]
  /// The records of its members and regions.
  package var members: [UInt8]
  /// The records of the commands that are known up to it, and what vouches for them; nil from a node
  /// of an earlier release.
  package var commands: (bytes: [UInt8], hash: EntryHash)?

  /// The state.
  ///
  /// - Throws: ``EvolveError`` unless its parts fit its header.
  package func state() throws(EvolveError) -> CatalogState {
    try CatalogState(restoring: header, routes: routes, membership: members)
  }

  /// The commands that are known up to it.
  ///
  /// - Throws: ``StoreError/checkpointDamaged(_:_:)`` when they are not what was sent.
  package func commandWindow() throws(StoreError) -> CommandWindow {
    guard let commands else { return CommandWindow() }
    return try .received(commands.bytes, hash: commands.hash, with: header)
  }
}

extension NodeClient {
  /// The nodes of the node's newest checkpoint, or the rest of those of `version` after the node
  /// `after`: gives `body` the parts, in order.
  ///
  /// A checkpoint that breaks off is an error too.
  package func fetchCheckpoint(
    of catalog: CatalogID, version: CatalogVersion = .zero, after: UInt64 = 0,
    _ body: @escaping @Sendable (CheckpointPart) async throws -> Void
  ) async throws {
    let request = Wire.FetchCheckpointRequest.with {
      $0.catalogID = Data(catalog.bytes)
      $0.version = version.rawValue
      $0.afterNode = after
      $0.commands = true
    }
    try await streaming(address) {
      try await replication.fetchCheckpoint(request, options: options(nil)) { response in
        var count: UInt64 = 0
        var members: [UInt8] = []
        var commands: [UInt8] = []
        for try await message in response.messages {
          if case .members(let part) = message.kind {
            members += part
            continue
          }
          if !members.isEmpty {
            try await body(.members(members))
            members = []
          }
          switch message.kind {
          case .members: break
          case .commands(let part): commands += part
          case .start(let start):
            let found = try fixed("catalog_id", start.catalogID, as: CatalogID.self)
            guard found == catalog else {
              throw StoreError.otherCatalog(expected: catalog, found: found)
            }
            try await body(.root(Array(start.root)))
          case .nodes(let message):
            count += UInt64(message.nodes.count)
            try await body(
              .nodes(
                message.nodes.map { CheckpointStore.Node(id: $0.id, bytes: Array($0.data)) }))
          case .end(let end):
            guard end.nodeCount == count else {
              throw MalformedMessage(
                "the checkpoint has \(count) nodes, its end speaks of \(end.nodeCount)")
            }
            if let hash = try Self.hash(end.commandsHash) {
              try await body(.commands(commands, hash))
            }
            return
          case nil:
            break
          }
        }
        throw NodeError(.unavailable, "the checkpoint broke off after \(count) nodes")
      }
    }
  }

  /// The node's whole state, at one position. It must be of `catalog`; nil takes any. `progress` is
  /// told how many routes have come.
  ///
  /// A state that breaks off is an error too. Whether its parts fit its digest is for
  /// ``FetchedState/state()`` to say.
  package func fetchState(
    of catalog: CatalogID?, deadline: Duration? = nil,
    progress: @escaping @Sendable (_ routes: Int) -> Void = { _ in }
  ) async throws(NodeError) -> FetchedState {
    var request = Wire.FetchStateRequest()
    if let catalog { request.catalogID = Data(catalog.bytes) }
    request.commands = true
    let message = request
    return try await calling(address) {
      try await replication.fetchState(message, options: options(deadline)) { response in
        var header: StateMachines.StateHeader?
        var routes: [Route] = []
        var members: [UInt8] = []
        var commands: [UInt8] = []
        for try await message in response.messages {
          switch message.kind {
          case .header(let message):
            header = try message.value()
          case .chunk(let chunk):
            for route in chunk.routes { routes.append(try route.value()) }
            progress(routes.count)
          case .members(let part):
            members += part
          case .commands(let part):
            commands += part
          case .end(let end):
            guard let header, end.routeCount == UInt64(routes.count) else {
              throw MalformedMessage(
                "the state has \(routes.count) routes, its end speaks of \(end.routeCount)")
            }
            return FetchedState(
              header: header, routes: routes, members: members,
              commands: try Self.hash(end.commandsHash).map { (commands, $0) })
          case nil:
            break
          }
        }
        throw NodeError(.unavailable, "the state broke off after \(routes.count) routes")
      }
    }
  }

  /// The records of the members and regions after the entry at a position. That they are the right ones
  /// is for the digest of a header to show.
  package func fetchMembers(
    at position: LogPosition, of catalog: CatalogID, deadline: Duration? = nil
  ) async throws(NodeError) -> [UInt8] {
    let request = Wire.FetchMembersRequest.with {
      $0.catalogID = Data(catalog.bytes)
      $0.position = position.rawValue
    }
    return try await calling(address) {
      try await replication.fetchMembers(request, options: options(deadline)) { response in
        var members: [UInt8] = []
        for try await message in response.messages {
          members += message.members
          if message.last { return members }
        }
        throw NodeError(.unavailable, "the members broke off after \(members.count) bytes")
      }
    }
  }

  /// The hash of commands that came; nil from a node that sends none.
  private static func hash(_ bytes: Data) throws(MalformedMessage) -> EntryHash? {
    bytes.isEmpty ? nil : try fixed("commands_hash", bytes)
  }

  /// Follows the node's log after the last entry of `state`, for as long as the stream holds: sends
  /// the `questions`, whose end ends the following, and gives `body` every message, in order.
  ///
  /// - Throws: ``NodeError`` when the stream broke; or what `body` throws.
  package func follow(
    after state: StateMachines.StateHeader?, region: String,
    questions: AsyncStream<FollowProgress>,
    _ body: @escaping @Sendable (Wire.FollowResponse) async throws -> Void
  ) async throws {
    var start = Cadastre_V1_FollowStart()
    start.region = region
    if let state {
      start.catalogID = Data(state.catalog.bytes)
      start.afterPosition = state.position.rawValue
      start.afterHash = Data(state.hash.bytes)
    }
    try await follow(start, questions: questions, body)
  }

  /// Follows the stream of a region after the last entry of `state`; as with the catalog's.
  package func follow(
    after state: RegionState, of catalog: CatalogID, region: String,
    questions: AsyncStream<FollowProgress>,
    _ body: @escaping @Sendable (Wire.FollowResponse) async throws -> Void
  ) async throws {
    var start = Cadastre_V1_FollowStart()
    start.region = region
    start.streamRegion = state.region.name
    start.catalogID = Data(catalog.bytes)
    start.afterPosition = state.appliedThrough.rawValue
    if state.appliedThrough > .zero { start.afterHash = Data(state.lastHash.bytes) }
    try await follow(start, questions: questions, body)
  }

  private func follow(
    _ start: Cadastre_V1_FollowStart, questions: AsyncStream<FollowProgress>,
    _ body: @escaping @Sendable (Wire.FollowResponse) async throws -> Void
  ) async throws {
    let start = Wire.FollowRequest.with { $0.start = start }
    try await streaming(address) {
      try await replication.follow(options: options(nil)) { writer in
        try await writer.write(start)
        for await question in questions {
          try await writer.write(
            .with {
              $0.progress.probe = question.probe
              $0.progress.storedPosition = question.stored.rawValue
            })
        }
      } onResponse: { response in
        for try await message in response.messages { try await body(message) }
      }
    }
  }
}

extension NodeClient {
  /// The whole state of a region's stream, proven by its digest, and the commands that are known up to
  /// it; none from a node of an earlier release.
  ///
  /// - Throws: ``NodeError``; `EvolveError` when the records are not those of the state; `StoreError`
  ///   when the commands are not those that were sent.
  package func fetchRegionState(
    of catalog: CatalogID, _ region: Region, deadline: Duration? = nil
  ) async throws -> (state: RegionState, commands: CommandWindow) {
    let request = Cadastre_V1_FetchRegionStateRequest.with {
      $0.catalogID = Data(catalog.bytes)
      $0.region = region.name
      $0.commands = true
    }
    let (header, bytes, commands, hash) = try await calling(address) {
      try await replication.fetchRegionState(request, options: options(deadline)) { response in
        var header: RegionHeader?
        var (bytes, commands) = ([UInt8](), [UInt8]())
        for try await message in response.messages {
          switch message.kind {
          case .header(let message): header = try message.value(of: region)
          case .records(let part): bytes += part
          case .commands(let part): commands += part
          case .end(let end):
            guard let header, header.catalog == catalog else {
              throw MalformedMessage("the state is of another catalog, or has no header")
            }
            return (header, bytes, commands, try Self.hash(end.commandsHash))
          case nil: break
          }
        }
        throw NodeError(.unavailable, "the state broke off after \(bytes.count) bytes")
      }
    }
    var records: [RegionRecord] = []
    try bytes.withUnsafeBytes { try RegionRecord.decode($0) { records.append($0) } }
    return (
      try RegionState(restoring: header, records: records),
      try hash.map { try .received(commands, hash: $0, with: header) } ?? CommandWindow()
    )
  }
}

extension Wire.StateHeader {
  /// That of the stream of a region, which has no versions and no routes.
  package init(_ header: RegionHeader) {
    self.init()
    catalogID = Data(header.catalog.bytes)
    position = header.position.rawValue
    hash = Data(header.hash.bytes)
    time = header.time.rawValue
    digest = Data(header.digest.bytes)
  }

  fileprivate func value(of region: Region) throws(MalformedMessage) -> RegionHeader {
    RegionHeader(
      catalog: try fixed("catalog_id", catalogID), region: region,
      position: LogPosition(position), hash: try fixed("hash", hash),
      time: HybridTimestamp(time), digest: try fixed("digest", digest))
  }
}

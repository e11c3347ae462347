import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import StateMachines
import SwiftProtobuf

/// What became of a command.
public struct CommandReceipt: Hashable, Sendable {
  /// What carrying it out came to.
  public enum Outcome: String, Sendable {
    /// It made an entry.
    case appended
    /// The catalog was as asked for already: nothing was appended.
    case alreadyDone
    /// It had been carried out before under this id; this is what it did then.
    case repeated
  }

  /// The id that it was sent under.
  public var command: CommandID
  /// What carrying it out came to.
  public var outcome: Outcome
  /// Its entry, or the last one where nothing was appended.
  public var position: LogPosition
  /// The catalog's version after it: demand it to read what was written.
  public var version: CatalogVersion
  /// The ids of the routes that it made, in key order.
  public var newRoutes: [RouteID]

  package init(
    command: CommandID, outcome: Outcome, position: LogPosition, version: CatalogVersion,
    newRoutes: [RouteID]
  ) {
    self.command = command
    self.outcome = outcome
    self.position = position
    self.version = version
    self.newRoutes = newRoutes
  }
}

extension NodeClient {
  /// Has `command` carried out. When the answer is lost, send the same command again: it is carried
  /// out once. A node that passes on what it was sent says by `hops` how often that has happened, and
  /// in whose name; the name counts where the node itself is known as a learner.
  ///
  /// - Throws: ``NodeError``; its reason is `too_large` when the command does not fit into a message.
  @discardableResult
  package func submit(
    _ command: Command, deadline: Duration? = nil, hops: Int = 0, onBehalfOf name: String? = nil
  ) async throws(NodeError) -> CommandReceipt {
    let header = Wire.CommandHeader(command)
    let options = options(deadline)
    var metadata: Metadata = hops > 0 ? [CommandForwarding.header: "\(hops)"] : [:]
    if let name { metadata.addString(name, forKey: CommandForwarding.onBehalfHeader) }
    return try await calling(address) { [metadata] in
      let response: Wire.CommandResponse
      switch command.change {
      case .bootstrap(let seeds):
        let request = Wire.BootstrapRequest.with {
          $0.header = header
          $0.routes = seeds.map(Wire.RouteSeed.init)
        }
        response = try await commands.bootstrap(
          try Self.fitting(request), metadata: metadata, options: options)
      case .arrange(let layout):
        let request = Wire.ArrangeRequest.with {
          $0.header = header
          $0.routes = layout.map(Wire.RouteSeed.init)
        }
        response = try await commands.arrange(
          try Self.fitting(request), metadata: metadata, options: options)
      case .split(let splits):
        let request = Wire.SplitBatchRequest.with {
          $0.header = header
          $0.splits = splits.map(Wire.SplitPoint.init)
        }
        response = try await commands.splitBatch(
          try Self.fitting(request), metadata: metadata, options: options)
      case .merge(let merges):
        let request = Wire.MergeRequest.with {
          $0.header = header
          $0.merges = merges.map { merge in
            .with {
              $0.leftRouteID = merge.left.rawValue
              $0.rightRouteID = merge.right.rawValue
            }
          }
        }
        response = try await commands.merge(
          try Self.fitting(request), metadata: metadata, options: options)
      case .move(let routes, let group):
        let request = Wire.MoveRequest.with {
          $0.header = header
          $0.routeIds = routes.map(\.rawValue)
          $0.groupID = group.rawValue
        }
        response = try await commands.move(
          try Self.fitting(request), metadata: metadata, options: options)
      case .setState(let routes, let state):
        let request = Wire.SetStateRequest.with {
          $0.header = header
          $0.routeIds = routes.map(\.rawValue)
          $0.state = Wire.RouteState(state)
        }
        response = try await commands.setState(
          try Self.fitting(request), metadata: metadata, options: options)
      case .setAllowedRegions(let routes, let regions):
        let request = Wire.SetAllowedRegionsRequest.with {
          $0.header = header
          $0.routeIds = routes.map(\.rawValue)
          $0.regions = regions.map(\.name)
        }
        response = try await commands.setAllowedRegions(
          try Self.fitting(request), metadata: metadata, options: options)
      case .membership(let change):
        let request = Cadastre_V1_MembershipChangeRequest(header, change)
        response = try await members.change(
          try Self.fitting(request), metadata: metadata, options: options)
      }
      return try response.value()
    }
  }

  /// The request, if it fits into a message: a node would end the call without a word of why.
  private static func fitting<Request: SwiftProtobuf.Message>(
    _ request: Request
  ) throws -> Request {
    let byteCount = (try request.serializedBytes() as [UInt8]).count
    guard byteCount <= maximumMessageByteCount else {
      throw NodeError(
        .invalidArgument, reason: "too_large",
        "the command takes \(byteCount) bytes, a node takes at most \(maximumMessageByteCount)",
        remedy: "send it as several commands, each with fewer routes or keys")
    }
    return request
  }
}

extension Cadastre_V1_CommandResponse {
  package init(_ receipt: CommandReceipt) {
    self.init()
    commandID = Data(receipt.command.bytes)
    outcome =
      switch receipt.outcome {
      case .appended: .appended
      case .alreadyDone: .alreadyDone
      case .repeated: .repeated
      }
    position = receipt.position.rawValue
    version = receipt.version.rawValue
    newRouteIds = receipt.newRoutes.map(\.rawValue)
  }

  /// - Throws: ``MalformedMessage`` when the outcome is none that this version knows.
  package func value() throws(MalformedMessage) -> CommandReceipt {
    let outcome: CommandReceipt.Outcome =
      switch self.outcome {
      case .appended: .appended
      case .alreadyDone: .alreadyDone
      case .repeated: .repeated
      case .unspecified, .UNRECOGNIZED:
        throw MalformedMessage("outcome: \(self.outcome.rawValue) is none that is known here")
      }
    return CommandReceipt(
      command: try fixed("command_id", commandID), outcome: outcome,
      position: LogPosition(position), version: CatalogVersion(version),
      newRoutes: newRouteIds.map(RouteID.init))
  }
}

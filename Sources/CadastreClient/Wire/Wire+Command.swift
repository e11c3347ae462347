import CadastreProtocol
import Catalog
import Foundation
import StateMachines
import SwiftProtobuf

/// A request of the commands service: one per kind of change.
package protocol WireCommand: Sendable, SwiftProtobuf.Message {
  var header: Wire.CommandHeader { get }
  /// The change that it asks for.
  ///
  /// - Throws: ``MalformedMessage`` when it is none, whatever the catalog looks like.
  func change() throws(MalformedMessage) -> RouteChange
}

extension WireCommand {
  /// - Throws: ``MalformedMessage`` when a field is missing or out of its range.
  package func command() throws(MalformedMessage) -> Command {
    Command(
      id: try fixed("header.command_id", header.commandID),
      expectedVersion: header.hasExpectedVersion ? CatalogVersion(header.expectedVersion) : nil,
      origin: header.originRegion.isEmpty
        ? nil
        : RegionOrigin(
          region: try region("header.origin_region", header.originRegion),
          epoch: header.originEpoch),
      actor: header.actor, reason: header.reason, change: try change())
  }
}

extension Cadastre_V1_CommandHeader {
  package init(_ command: Command) {
    self.init()
    commandID = Data(command.id.bytes)
    if let version = command.expectedVersion { expectedVersion = version.rawValue }
    if let origin = command.origin {
      originRegion = origin.region.name
      originEpoch = origin.epoch
    }
    actor = command.actor
    reason = command.reason
  }
}

extension Cadastre_V1_SplitPoint {
  package init(_ split: StateMachines.SplitRequest) {
    self.init()
    at = Data(split.at.bytes)
    routeID = split.route?.rawValue ?? 0
  }

  package func value() throws(MalformedMessage) -> StateMachines.SplitRequest {
    StateMachines.SplitRequest(
      route: routeID == 0 ? nil : RouteID(routeID), at: try key("at", at))
  }
}

extension Cadastre_V1_BootstrapRequest: WireCommand {
  /// The most routes in one call; a catalog of more is imported where its log is.
  package static let maximumRouteCount = 200_000

  package func change() throws(MalformedMessage) -> RouteChange {
    .bootstrap(try seeds(routes))
  }
}

extension Cadastre_V1_ArrangeRequest: WireCommand {
  package func change() throws(MalformedMessage) -> RouteChange {
    .arrange(try seeds(routes))
  }
}

extension Cadastre_V1_RouteSeed {
  package init(_ seed: RouteSeedRequest) {
    self.init()
    start = Data(seed.start.bytes)
    groupID = seed.group.rawValue
    allowedRegions = seed.allowedRegions.map(\.name)
  }
}

/// All routes of a catalog.
private func seeds(
  _ routes: [Cadastre_V1_RouteSeed]
) throws(MalformedMessage) -> [RouteSeedRequest] {
  let maximum = Cadastre_V1_BootstrapRequest.maximumRouteCount
  guard routes.count <= maximum else {
    throw MalformedMessage(
      "routes: \(routes.count) are too many for one call: give at most "
        + "\(maximum), or import them into the leader's folder")
  }
  var seeds: [RouteSeedRequest] = []
  seeds.reserveCapacity(routes.count)
  for route in routes {
    seeds.append(
      RouteSeedRequest(
        start: try key("routes.start", route.start), group: GroupID(route.groupID),
        allowedRegions: try regions("routes.allowed_regions", route.allowedRegions)))
  }
  return seeds
}

extension Cadastre_V1_SplitRequest: WireCommand {
  package func change() throws(MalformedMessage) -> RouteChange {
    guard hasSplit else { throw MalformedMessage("split: missing: say where to split") }
    return .split([try split.value()])
  }
}

extension Cadastre_V1_SplitBatchRequest: WireCommand {
  package func change() throws(MalformedMessage) -> RouteChange {
    var values: [StateMachines.SplitRequest] = []
    values.reserveCapacity(splits.count)
    for split in splits { values.append(try split.value()) }
    return .split(values)
  }
}

extension Cadastre_V1_MergeRequest: WireCommand {
  package func change() throws(MalformedMessage) -> RouteChange {
    .merge(
      merges.map {
        StateMachines.MergeRequest(left: RouteID($0.leftRouteID), right: RouteID($0.rightRouteID))
      })
  }
}

extension Cadastre_V1_MoveRequest: WireCommand {
  package func change() throws(MalformedMessage) -> RouteChange {
    .move(routeIds.map(RouteID.init), to: GroupID(groupID))
  }
}

extension Cadastre_V1_SetStateRequest: WireCommand {
  package func change() throws(MalformedMessage) -> RouteChange {
    .setState(routeIds.map(RouteID.init), to: try state.value())
  }
}

extension Cadastre_V1_SetAllowedRegionsRequest: WireCommand {
  package func change() throws(MalformedMessage) -> RouteChange {
    .setAllowedRegions(
      routeIds.map(RouteID.init), to: try CadastreClient.regions("regions", regions))
  }
}

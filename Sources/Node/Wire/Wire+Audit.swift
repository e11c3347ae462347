import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import Replay
import StateMachines
import SwiftProtobuf

extension Wire {
  package typealias AuditPoint = Cadastre_V1_AuditPoint
  package typealias AuditChange = Cadastre_V1_AuditChange
  package typealias AuditRouteChange = Cadastre_V1_AuditRouteChange
  package typealias AuditBlamedRoute = Cadastre_V1_AuditBlamedRoute
  package typealias AuditAtRequest = Cadastre_V1_AuditAtRequest
  package typealias AuditAtResponse = Cadastre_V1_AuditAtResponse
  package typealias AuditDiffRequest = Cadastre_V1_AuditDiffRequest
  package typealias AuditDiffResponse = Cadastre_V1_AuditDiffResponse
  package typealias AuditHistoryRequest = Cadastre_V1_AuditHistoryRequest
  package typealias AuditHistoryResponse = Cadastre_V1_AuditHistoryResponse
  package typealias AuditBlameRequest = Cadastre_V1_AuditBlameRequest
  package typealias AuditBlameResponse = Cadastre_V1_AuditBlameResponse
  package typealias AuditLogRequest = Cadastre_V1_AuditLogRequest
  package typealias AuditLogResponse = Cadastre_V1_AuditLogResponse
  package typealias AuditProveRequest = Cadastre_V1_AuditProveRequest
  package typealias AuditProveResponse = Cadastre_V1_AuditProveResponse
  package typealias GetAuditExtentRequest = Cadastre_V1_GetAuditExtentRequest
  package typealias GetAuditExtentResponse = Cadastre_V1_GetAuditExtentResponse
}

extension Cadastre_V1_AsOf {
  package init(_ asOf: AsOf) {
    self.init()
    switch asOf {
    case .newest: break
    case .version(let version): self.version = version.rawValue
    case .time(let time): self.time = time.rawValue
    }
  }

  package var value: AsOf {
    switch kind {
    case .version(let version): .version(CatalogVersion(version))
    case .time(let time): .time(HybridTimestamp(time))
    case nil: .newest
    }
  }
}

extension Cadastre_V1_AuditPoint {
  package init(_ point: AuditPoint) {
    self.init()
    version = point.version.rawValue
    position = point.position.rawValue
    if let time = point.time { self.time = time.rawValue }
  }

  package var value: AuditPoint {
    AuditPoint(
      version: CatalogVersion(version), position: LogPosition(position),
      time: hasTime ? HybridTimestamp(time) : nil)
  }
}

extension Cadastre_V1_AuditStamp {
  package init(_ stamp: AuditStamp) {
    self.init()
    position = stamp.position.rawValue
    version = stamp.version.rawValue
    time = stamp.time.rawValue
    actor = stamp.actor
    reason = stamp.reason
    commandID = Data(stamp.command.bytes)
  }

  /// - Throws: ``MalformedMessage`` when the command id has the wrong length.
  package func value() throws(MalformedMessage) -> AuditStamp {
    AuditStamp(
      position: LogPosition(position), version: CatalogVersion(version),
      time: HybridTimestamp(time), actor: actor, reason: reason,
      command: try fixed("command_id", commandID))
  }
}

extension Cadastre_V1_EventKind {
  package init(_ kind: EventKind) {
    self =
      switch kind {
      case .bootstrap: .bootstrap
      case .split: .split
      case .merge: .merge
      case .move: .move
      case .state: .state
      case .regions: .regions
      case .commitment: .commitment
      case .trim: .trim
      case .groupsLed: .groupsLed
      case .ceilingsRaised: .ceilingsRaised
      case .groupsRetired: .groupsRetired
      case .groupsDeparted: .groupsDeparted
      case .groupsArrived: .groupsArrived
      case .transactionBegun: .transactionBegun
      case .transactionDecided: .transactionDecided
      case .members: .members
      }
  }

  /// - Throws: ``MalformedMessage`` when it is none that this version knows.
  package func value() throws(MalformedMessage) -> EventKind {
    switch self {
    case .bootstrap: .bootstrap
    case .split: .split
    case .merge: .merge
    case .move: .move
    case .state: .state
    case .regions: .regions
    case .commitment: .commitment
    case .trim: .trim
    case .groupsLed: .groupsLed
    case .ceilingsRaised: .ceilingsRaised
    case .groupsRetired: .groupsRetired
    case .groupsDeparted: .groupsDeparted
    case .groupsArrived: .groupsArrived
    case .transactionBegun: .transactionBegun
    case .transactionDecided: .transactionDecided
    case .members: .members
    case .unspecified, .UNRECOGNIZED:
      throw MalformedMessage("kinds: \(rawValue) is no kind of event")
    }
  }
}

extension Cadastre_V1_AuditRouteChange {
  package init(_ change: ChangedRoute) {
    self.init()
    if let before = change.before { self.before = Wire.Route(before) }
    if let after = change.after { self.after = Wire.Route(after) }
  }

  /// - Throws: ``MalformedMessage`` when there is neither, or a field is out of its range.
  package func value() throws(MalformedMessage) -> ChangedRoute {
    let before: Route? = if hasBefore { try self.before.value() } else { nil }
    let after: Route? = if hasAfter { try self.after.value() } else { nil }
    guard let id = (before ?? after)?.id, after?.id ?? id == id else {
      throw MalformedMessage("changes: a change of no route, or of two")
    }
    return ChangedRoute(id: id, before: before, after: after)
  }

  /// About how many bytes it takes on the wire.
  package var approximateSize: Int { before.approximateSize + after.approximateSize }
}

extension Cadastre_V1_AuditChange {
  package init(_ change: AuditChange) {
    self.init()
    stamp = Cadastre_V1_AuditStamp(change.stamp)
    routeID = change.route.rawValue
    if let before = change.before { self.before = Wire.Route(before) }
    if let after = change.after { self.after = Wire.Route(after) }
    kinds = EventKind.allCases.filter(change.kinds.contains).map(Cadastre_V1_EventKind.init)
  }

  /// - Throws: ``MalformedMessage`` when a field is out of its range.
  package func value() throws(MalformedMessage) -> AuditChange {
    let before: Route? = if hasBefore { try self.before.value() } else { nil }
    let after: Route? = if hasAfter { try self.after.value() } else { nil }
    var kinds: Set<EventKind> = []
    for kind in self.kinds { kinds.insert(try kind.value()) }
    return AuditChange(
      stamp: try stamp.value(), route: RouteID(routeID), before: before, after: after,
      kinds: kinds)
  }

  /// About how many bytes it takes on the wire.
  package var approximateSize: Int {
    before.approximateSize + after.approximateSize + stamp.approximateSize + 32
  }
}

extension Cadastre_V1_AuditStamp {
  fileprivate var approximateSize: Int { actor.utf8.count + reason.utf8.count + 64 }
}

extension Cadastre_V1_AuditBlamedRoute {
  package init(_ blamed: BlamedRoute) {
    self.init()
    route = Wire.Route(blamed.route)
    if let stamp = blamed.stamp { self.stamp = Cadastre_V1_AuditStamp(stamp) }
  }

  /// - Throws: ``MalformedMessage`` when a field is out of its range.
  package func value() throws(MalformedMessage) -> BlamedRoute {
    let stamp: AuditStamp? = if hasStamp { try self.stamp.value() } else { nil }
    return BlamedRoute(route: try route.value(), stamp: stamp)
  }

  /// About how many bytes it takes on the wire.
  package var approximateSize: Int { route.approximateSize + stamp.approximateSize }
}

extension Cadastre_V1_AuditTally {
  fileprivate init(_ tally: DiffSummary.Tally) {
    self.init()
    (added, removed, changed) = (tally.added, tally.removed, tally.changed)
    (joined, left) = (tally.joined, tally.left)
  }

  fileprivate var value: DiffSummary.Tally {
    DiffSummary.Tally(
      added: added, removed: removed, changed: changed, joined: joined, left: left)
  }
}

extension Cadastre_V1_AuditDiffSummary {
  package init(_ summary: DiffSummary) {
    self.init()
    (added, removed, changed) = (summary.added, summary.removed, summary.changed)
    groups = summary.sortedGroups.map { group, tally in
      .with {
        $0.groupID = group.rawValue
        $0.tally = Cadastre_V1_AuditTally(tally)
      }
    }
    regions = summary.sortedRegions.map { region, tally in
      .with {
        $0.region = region?.name ?? ""
        $0.tally = Cadastre_V1_AuditTally(tally)
      }
    }
  }

  /// - Throws: ``MalformedMessage`` when a region's name is none.
  package func value() throws(MalformedMessage) -> DiffSummary {
    var summary = DiffSummary()
    (summary.added, summary.removed, summary.changed) = (added, removed, changed)
    for group in groups { summary.groups[GroupID(group.groupID)] = group.tally.value }
    for tally in regions {
      let region: Region? =
        tally.region.isEmpty ? nil : try CadastreClient.region("region", tally.region)
      summary.regions[region] = tally.tally.value
    }
    return summary
  }
}

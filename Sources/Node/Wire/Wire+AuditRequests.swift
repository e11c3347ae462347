import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import Replay

/// Which routes of a version are asked for.
package enum AuditQuestion: Hashable, Sendable {
  /// The route of each key, in their order.
  case keys([Key])
  /// Those of these that there are, by id.
  case ids([RouteID])
  case group(GroupID)
  case span(KeySpan)
}

extension Cadastre_V1_AuditAtRequest {
  package init(_ question: AuditQuestion, asOf: AsOf, limit: Int) {
    self.init()
    self.asOf = Cadastre_V1_AsOf(asOf)
    switch question {
    case .keys(let keys): self.keys.keys = keys.map { Data($0.bytes) }
    case .ids(let ids): routeIds.ids = ids.map(\.rawValue)
    case .group(let group): groupID = group.rawValue
    case .span(let span): self.span = Wire.KeySpan(span)
    }
    self.limit = limit == .max ? 0 : UInt64(limit)
  }

  /// - Throws: ``MalformedMessage`` when a key is too long, a span empty, or there are too many of
  ///   them.
  func question(limits: NodeLimits) throws(MalformedMessage) -> AuditQuestion {
    switch selector {
    case .keys(let message):
      guard message.keys.count <= limits.keysPerRead else {
        throw MalformedMessage(
          "keys: \(message.keys.count) are too many: give at most \(limits.keysPerRead)")
      }
      var keys: [Key] = []
      for data in message.keys { keys.append(try key("keys", data)) }
      return .keys(keys)
    case .routeIds(let message):
      guard message.ids.count <= limits.keysPerRead else {
        throw MalformedMessage(
          "route_ids: \(message.ids.count) are too many: give at most \(limits.keysPerRead)")
      }
      return .ids(message.ids.map(RouteID.init))
    case .groupID(let group): return .group(GroupID(group))
    case .span(let span): return .span(try span.value())
    case nil: return .span(.all)
    }
  }
}

extension Cadastre_V1_AuditHistoryRequest {
  package init(_ scope: HistoryScope, asOf: AsOf, limit: Int) {
    self.init()
    self.asOf = Cadastre_V1_AsOf(asOf)
    switch scope {
    case .key(let key): self.key = Data(key.bytes)
    case .route(let id, let ancestors): (routeID, own) = (id.rawValue, !ancestors)
    case .group(let group): groupID = group.rawValue
    case .span(let span): self.span = Wire.KeySpan(span)
    }
    self.limit = limit == .max ? 0 : UInt64(limit)
  }

  /// - Throws: ``MalformedMessage`` when there is none, or it is none.
  func historyScope() throws(MalformedMessage) -> HistoryScope {
    switch scope {
    case .key(let data): return .key(try CadastreClient.key("key", data))
    case .routeID(let id): return .route(RouteID(id), ancestors: !own)
    case .groupID(let group): return .group(GroupID(group))
    case .span(let span): return .span(try span.value())
    case nil: throw MalformedMessage("scope: missing: say whose history")
    }
  }
}

extension Cadastre_V1_AuditLogRequest {
  package init(
    _ bounds: LogBounds, _ filter: LogFilter, newestFirst: Bool, follow: Bool, limit: Int
  ) {
    self.init()
    if let position = bounds.firstPosition { firstPosition = position.rawValue }
    if let position = bounds.lastPosition { lastPosition = position.rawValue }
    if let version = bounds.firstVersion { firstVersion = version.rawValue }
    if let version = bounds.lastVersion { lastVersion = version.rawValue }
    if let time = bounds.since { since = time.rawValue }
    if let time = bounds.until { until = time.rawValue }
    if let actor = filter.actor { self.actor = actor }
    kinds = EventKind.allCases.filter(filter.kinds.contains).map(Cadastre_V1_EventKind.init)
    if let span = filter.span { self.span = Wire.KeySpan(span) }
    self.newestFirst = newestFirst
    self.follow = follow
    self.limit = limit == .max ? 0 : UInt64(limit)
  }

  var bounds: LogBounds {
    get throws(MalformedMessage) {
      var bounds = LogBounds()
      if hasFirstPosition { bounds.firstPosition = LogPosition(firstPosition) }
      if hasLastPosition { bounds.lastPosition = LogPosition(lastPosition) }
      if hasFirstVersion { bounds.firstVersion = CatalogVersion(firstVersion) }
      if hasLastVersion { bounds.lastVersion = CatalogVersion(lastVersion) }
      if hasSince { bounds.since = HybridTimestamp(since) }
      if hasUntil { bounds.until = HybridTimestamp(until) }
      return bounds
    }
  }

  /// - Throws: ``MalformedMessage`` when a kind is not known here, or the span is none.
  func filter() throws(MalformedMessage) -> LogFilter {
    var filter = LogFilter()
    if hasActor { filter.actor = actor }
    for kind in kinds { filter.kinds.insert(try kind.value()) }
    if hasSpan { filter.span = try span.value() }
    return filter
  }
}

extension Cadastre_V1_AuditDiffSummary {
  /// The summary in pieces that fit into messages: each has the counts, and some of the groups and
  /// regions.
  var parts: [Self] {
    let count = 20_000
    guard groups.count > count || regions.count > count else { return [self] }
    var parts: [Self] = []
    for start in stride(from: 0, to: max(groups.count, regions.count), by: count) {
      var part = self
      part.groups = Array(groups.dropFirst(start).prefix(count))
      part.regions = Array(regions.dropFirst(start).prefix(count))
      parts.append(part)
    }
    return parts
  }
}

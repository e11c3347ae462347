import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Replay
import StateMachines
import SwiftProtobuf

extension NodeCore {
  /// One page of a listing, all of whose pages show the version of the first.
  ///
  /// - Throws: ``MalformedMessage``, or ``NodeError`` when a demand is not met or the version is no
  ///   longer retained.
  package func page(
    for request: Wire.ListRoutesRequest, timeout: Duration?
  ) async throws -> Wire.ListRoutesResponse {
    let token = request.pageToken.isEmpty ? nil : try PageToken(data: request.pageToken)
    let selector = try request.selection()
    let fingerprint = try request.fingerprint()
    if let token, token.selector != fingerprint {
      throw MalformedMessage(
        "page_token: it is of another listing: pass the same selector with every page")
    }
    guard request.pageSize <= UInt32(limits.routesPerPage) else {
      throw MalformedMessage(
        "page_size: \(request.pageSize) is too many: ask for at most \(limits.routesPerPage)")
    }
    let limit = request.pageSize == 0 ? limits.defaultRoutesPerPage : Int(request.pageSize)
    let asked =
      token?.version ?? (request.atVersion == 0 ? nil : CatalogVersion(request.atVersion))
    var demand = request.demand.value
    if let asked {
      guard asked >= demand.minimumVersion else {
        throw MalformedMessage(
          "demand.min_catalog_version: \(demand.minimumVersion) is later than version \(asked), "
            + "which the listing shows: demand no more, or start the listing over")
      }
      if asked > store.current.version { demand.minimumVersion = asked }
    }
    let view = try await view(meeting: demand, timeout: timeout)
    let table = try retained(asked ?? view.state.version, else: view)

    var page = Page(byteBudget: limits.messageByteCount)
    switch selector {
    case .span(let span):
      page.fill(from: table, span: span, after: token?.cursor, limit: limit)
    case .group(let group):
      page.fill(from: table, group: group, after: token?.cursor, limit: limit)
    case .ids(let ids):
      guard ids.count <= limits.keysPerRead else {
        throw MalformedMessage(
          "route_ids: \(ids.count) are too many: give at most \(limits.keysPerRead)")
      }
      page.fill(from: table, ids: ids, after: token?.cursor, limit: limit)
    }
    var response = Wire.ListRoutesResponse()
    response.routes = page.routes
    if let cursor = page.next {
      response.nextPageToken =
        PageToken(version: table.version, selector: fingerprint, cursor: cursor).data
    }
    response.stamp = Wire.ReadStamp(view.stamp)
    response.stamp.version = table.version.rawValue
    return response
  }

  private func retained(
    _ version: CatalogVersion, else view: CatalogView
  ) throws(NodeError) -> RouteTable {
    if version == view.state.version { return view.state.routes }
    if let table = store.table(at: version) { return table }
    let oldest = store.retainedVersions.lowerBound
    throw NodeError(
      .outOfRange, reason: "version_not_retained",
      "version \(version) is no longer retained: the oldest is \(oldest)",
      remedy: "start the listing over, or ask for a version from \(oldest) on"
    ) { detail in
      detail.catalogVersion = view.state.version.rawValue
      detail.oldestVersion = oldest.rawValue
    }
  }
}

/// A page in the making.
private struct Page {
  var routes: [Wire.Route] = []
  /// Where the next page goes on; nil after the last.
  var next: PageToken.Cursor?
  var byteBudget: Int

  init(byteBudget: Int) { self.byteBudget = byteBudget }

  /// Takes a route; false when the page has no room for it. A page has room for one at least.
  mutating func take(_ route: Route) -> Bool {
    let message = Wire.Route(route)
    let size = message.approximateSize
    guard routes.isEmpty || size <= byteBudget else { return false }
    byteBudget -= size
    routes.append(message)
    return true
  }

  mutating func fill(
    from table: RouteTable, span: KeySpan, after cursor: PageToken.Cursor?, limit: Int
  ) {
    var lower = span.lower
    if case .key(let key)? = cursor { lower = key }
    if let upper = span.upper, upper <= lower { return }
    let rest = KeySpan(unchecked: lower, span.upper)
    for route in table.routes(overlapping: rest, limit: limit) {
      guard take(route) else {
        next = .key(route.span.lower)
        return
      }
      guard let end = route.span.upper, span.upper.map({ end < $0 }) ?? true else {
        next = nil
        return
      }
      next = .key(end)
    }
  }

  mutating func fill(
    from table: RouteTable, group: GroupID, after cursor: PageToken.Cursor?, limit: Int
  ) {
    var last: RouteID?
    if case .id(let id)? = cursor { last = id }
    let found = table.routes(of: group, after: last, limit: limit + 1)
    for (index, route) in found.enumerated() {
      guard index < limit, take(route) else {
        next = last.map { .id($0) }
        return
      }
      last = route.id
    }
  }

  mutating func fill(
    from table: RouteTable, ids: [RouteID], after cursor: PageToken.Cursor?, limit: Int
  ) {
    var offset = 0
    if case .offset(let given)? = cursor { offset = min(max(0, given), ids.count) }
    while offset < ids.count {
      if let route = table.route(id: ids[offset]) {
        guard routes.count < limit, take(route) else {
          next = .offset(offset)
          return
        }
      }
      offset += 1
    }
  }
}

extension Cadastre_V1_ListRoutesRequest {
  fileprivate func selection() throws(MalformedMessage) -> RouteSelector {
    switch selector {
    case .span(let span): .span(try span.value())
    case .groupID(let group): .group(GroupID(group))
    case .routeIds(let ids): .ids(ids.ids.map(RouteID.init))
    case nil: .span(.all)
    }
  }

  /// Tells listings apart: FNV-1a of the selector's bytes.
  fileprivate func fingerprint() throws -> UInt64 {
    var selection = Wire.ListRoutesRequest()
    selection.selector = selector
    let bytes: [UInt8] = try selection.serializedBytes()
    return bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }
}

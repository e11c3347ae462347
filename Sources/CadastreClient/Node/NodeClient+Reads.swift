import CadastreProtocol
import Catalog
import Foundation
import GRPCCore

/// Which routes to list.
package enum RouteSelector: Hashable, Sendable {
  /// Those that overlap the span, in key order.
  case span(KeySpan)
  /// Those of the group, in the order of their ids.
  case group(GroupID)
  /// These, in the order given; ids that no route has are left out.
  case ids([RouteID])
}

extension NodeClient {
  /// The route that holds `key`.
  package func resolve(
    _ key: Key, demand: ReadDemand = .none, deadline: Duration? = nil
  ) async throws(NodeError) -> Answer<Route> {
    var request = Wire.ResolveRequest()
    request.key = Data(key.bytes)
    request.demand = Wire.ReadDemand(demand)
    let message = request
    return try await calling(address) {
      let response = try await reads.resolve(message, options: options(deadline))
      return Answer(try response.route.value(), response.stamp.value)
    }
  }

  /// The owners of `keys`, in their order, all at one version.
  package func owners(
    of keys: [Key], demand: ReadDemand = .none, deadline: Duration? = nil
  ) async throws(NodeError) -> Answer<[RouteOwner]> {
    let response = try await resolveBatch(
      keys, withRoutes: false, demand: demand, deadline: deadline)
    return try await calling(address) {
      var owners: [RouteOwner] = []
      owners.reserveCapacity(keys.count)
      for index in keys.indices {
        owners.append(
          RouteOwner(
            route: RouteID(response.routeIds[index]), group: GroupID(response.groupIds[index]),
            state: try response.states[index].value()))
      }
      return Answer(owners, response.stamp.value)
    }
  }

  /// The routes that hold `keys`, in their order, all at one version.
  package func resolve(
    _ keys: [Key], demand: ReadDemand = .none, deadline: Duration? = nil
  ) async throws(NodeError) -> Answer<[Route]> {
    let response = try await resolveBatch(
      keys, withRoutes: true, demand: demand, deadline: deadline)
    return try await calling(address) {
      var byID: [UInt64: Route] = [:]
      for route in response.routes { byID[route.id] = try route.value() }
      let routes = try response.routeIds.map { id in
        guard let route = byID[id] else { throw MalformedMessage("the answer lacks route \(id)") }
        return route
      }
      return Answer(routes, response.stamp.value)
    }
  }

  private func resolveBatch(
    _ keys: [Key], withRoutes: Bool, demand: ReadDemand, deadline: Duration?
  ) async throws(NodeError) -> Wire.ResolveBatchResponse {
    var request = Wire.ResolveBatchRequest()
    request.keys = keys.map { Data($0.bytes) }
    request.includeRoutes = withRoutes
    request.demand = Wire.ReadDemand(demand)
    let message = request
    return try await calling(address) {
      let response = try await reads.resolveBatch(message, options: options(deadline))
      guard response.routeIds.count == keys.count, response.groupIds.count == keys.count,
        response.states.count == keys.count
      else { throw MalformedMessage("the answer has not one owner for each key") }
      return response
    }
  }

  /// One page of routes, and the token for the next; nil after the last.
  package func listRoutes(
    _ selector: RouteSelector, at version: CatalogVersion? = nil, pageSize: Int = 1000,
    after token: Data? = nil, demand: ReadDemand = .none, deadline: Duration? = nil
  ) async throws(NodeError) -> (page: Answer<[Route]>, next: Data?) {
    var request = Wire.ListRoutesRequest()
    switch selector {
    case .span(let span): request.span = Wire.KeySpan(span)
    case .group(let group): request.groupID = group.rawValue
    case .ids(let ids): request.routeIds.ids = ids.map(\.rawValue)
    }
    request.pageSize = UInt32(clamping: pageSize)
    request.pageToken = token ?? Data()
    request.atVersion = version?.rawValue ?? 0
    request.demand = Wire.ReadDemand(demand)
    let message = request
    return try await calling(address) {
      let response = try await reads.listRoutes(message, options: options(deadline))
      let routes = try response.routes.map { try $0.value() }
      return (
        Answer(routes, response.stamp.value),
        response.nextPageToken.isEmpty ? nil : response.nextPageToken
      )
    }
  }

  /// Lists page by page, all at one version, until the end or until `body` returns false.
  ///
  /// - Returns: The version that was listed.
  @discardableResult
  package func forEachPage(
    _ selector: RouteSelector, at version: CatalogVersion? = nil, pageSize: Int = 1000,
    demand: ReadDemand = .none, deadline: Duration? = nil,
    _ body: (Answer<[Route]>) throws -> Bool
  ) async throws -> CatalogVersion {
    var token: Data?
    while true {
      let (page, next) = try await listRoutes(
        selector, at: version, pageSize: pageSize, after: token, demand: demand,
        deadline: deadline)
      guard try body(page), let next else { return page.stamp.version }
      token = next
    }
  }

  /// What the node is, and how far it has come.
  package func status(
    demand: ReadDemand = .none, deadline: Duration? = nil
  ) async throws(NodeError) -> NodeStatus {
    var request = Wire.GetStatusRequest()
    request.demand = Wire.ReadDemand(demand)
    let message = request
    return try await calling(address) {
      try await reads.getStatus(message, options: options(deadline)).value()
    }
  }
}

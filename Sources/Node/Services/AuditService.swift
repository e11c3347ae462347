import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Replay
import StateMachines
import SwiftProtobuf
import Synchronization

/// Answers questions about the past from the node's own log. The next part of an answer is looked up
/// when the caller has taken the one before.
package struct AuditService: Cadastre_V1_Audit.ServiceProtocol {
  private let core: NodeCore
  private let reader: AuditReader
  private let gate = Gate()

  /// Counts the questions under way.
  private final class Gate: Sendable {
    let count = Atomic<Int>(0)
  }

  package init(_ core: NodeCore) {
    self.core = core
    reader = core.store.auditReader()
  }

  package func at(
    request: ServerRequest<Wire.AuditAtRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Wire.AuditAtResponse> {
    let message = request.message
    return answer(request.metadata) { call, writer in
      let question = try message.question(limits: core.limits)
      let point = try await call.resolve(message.asOf.value)
      try await writer.write(.with { $0.point = Wire.AuditPoint(point) })
      func send(_ listing: AuditListing, limit: UInt64) async throws {
        _ = try await call.send(pagesOf: listing, limit: limit, size: \.approximateSize) {
          try $0.next(limit: $1)?.map(Wire.Route.init)
        } _: { routes in
          try await writer.write(.with { $0.routes = routes })
        }
      }
      func send(_ routes: [Route]) async throws {
        _ = try await call.send(pagesOf: routes[...], limit: 0, size: \.approximateSize) {
          rest, count in
          defer { rest = rest.dropFirst(count) }
          return rest.isEmpty ? nil : rest.prefix(count).map(Wire.Route.init)
        } _: { routes in
          try await writer.write(.with { $0.routes = routes })
        }
      }
      switch question {
      case .keys(let keys):
        try await send(try await call.step { try $0.routes(containing: keys, at: point) })
      case .ids(let ids):
        try await send(try await call.step { try $0.routes(withIDs: ids, at: point) })
      case .group(let group):
        let listing = try await call.step { try $0.routes(of: group, at: point) }
        try await send(listing, limit: message.limit)
      case .span(let span):
        let listing = try await call.step { try $0.routes(overlapping: span, at: point) }
        try await send(listing, limit: message.limit)
      }
    }
  }

  package func diff(
    request: ServerRequest<Wire.AuditDiffRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Wire.AuditDiffResponse> {
    let message = request.message
    return answer(request.metadata) { call, writer in
      let from = try await call.resolve(message.from.value)
      let to = try await call.resolve(message.to.value)
      try await writer.write(
        .with {
          $0.from = Wire.AuditPoint(from)
          $0.to = Wire.AuditPoint(to)
        })
      let diff = try await call.step { try $0.diff(from: from, to: to) }
      let isWanted = !message.onlySummary
      let end = try await call.send(
        pagesOf: diff, of: AuditDiff.pageCount, limit: 0, size: \.approximateSize
      ) {
        try $0.next(limit: $1).map { isWanted ? $0.map(Wire.AuditRouteChange.init) : [] }
      } _: { changes in
        try await writer.write(.with { $0.changes = changes })
      }
      guard let end else { return }
      for summary in Cadastre_V1_AuditDiffSummary(end.summary).parts {
        try await writer.write(.with { $0.summary = summary })
      }
    }
  }

  package func history(
    request: ServerRequest<Wire.AuditHistoryRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Wire.AuditHistoryResponse> {
    let message = request.message
    return answer(request.metadata) { call, writer in
      let scope = try message.historyScope()
      let point = try await call.resolve(message.asOf.value)
      try await writer.write(.with { $0.point = Wire.AuditPoint(point) })
      let history = try await call.step { try $0.history(scope, through: point) }
      let end = try await call.send(
        pagesOf: history, limit: message.limit, size: \.approximateSize
      ) {
        try $0.next(limit: $1)?.map(Wire.AuditChange.init)
      } _: { changes in
        try await writer.write(.with { $0.changes = changes })
      }
      if let end, end.isCut { try await writer.write(.with { $0.cut = true }) }
    }
  }

  package func blame(
    request: ServerRequest<Wire.AuditBlameRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Wire.AuditBlameResponse> {
    let message = request.message
    return answer(request.metadata) { call, writer in
      let span = try message.hasSpan ? message.span.value() : .all
      let point = try await call.resolve(message.asOf.value)
      try await writer.write(.with { $0.point = Wire.AuditPoint(point) })
      let blame = try await call.step { try $0.blame(span, at: point) }
      _ = try await call.send(pagesOf: blame, limit: message.limit, size: \.approximateSize) {
        try $0.next(limit: $1)?.map(Wire.AuditBlamedRoute.init)
      } _: { routes in
        try await writer.write(.with { $0.routes = routes })
      }
    }
  }

  package func log(
    request: ServerRequest<Wire.AuditLogRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Wire.AuditLogResponse> {
    let message = request.message
    return answer(request.metadata) { call, writer in
      let (bounds, filter) = (try message.bounds, try message.filter())
      if message.follow, message.newestFirst {
        throw MalformedMessage("follow: new entries come last: it excludes newest_first")
      }
      try await AuditFollower(
        call: call, writer: writer, bounds: bounds, filter: filter,
        newestFirst: message.newestFirst, follow: message.follow
      ).run(limit: message.limit)
    }
  }

  package func prove(
    request: ServerRequest<Wire.AuditProveRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Wire.AuditProveResponse> {
    let message = request.message
    return answer(request.metadata) { call, writer in
      let key = try CadastreClient.key("key", message.key)
      let head = message.hasHeadPosition ? LogPosition(message.headPosition) : nil
      let point = try await call.resolve(message.asOf.value)
      let bytes = try await call.step {
        try $0.prove(key, at: point.version, head: head).proof.encoded()
      }
      var rest = bytes[...]
      while !rest.isEmpty {
        let part = rest.prefix(max(1, core.limits.messageByteCount))
        rest = rest.dropFirst(part.count)
        try await writer.write(.with { $0.part = Data(part) })
      }
    }
  }

  package func getExtent(
    request: ServerRequest<Wire.GetAuditExtentRequest>, context: ServerContext
  ) async throws -> ServerResponse<Wire.GetAuditExtentResponse> {
    let position = LogPosition(request.message.position)
    let call = AuditCall(core, reader, timeout: request.metadata.callTimeout)
    let extent = try await withRPCCancellationHandler {
      try await call.step { try $0.extent(hashAt: position) }
    } onCancelRPC: {
      call.cancel()
    }
    return ServerResponse(
      message: .with {
        $0.catalogID = Data(extent.catalog.bytes)
        $0.oldestVersion = extent.retained.oldest.rawValue
        $0.newestVersion = extent.retained.newest.rawValue
        if let time = extent.retained.since { $0.oldestTime = time.rawValue }
        $0.firstPosition = extent.first.rawValue
        $0.lastPosition = extent.last.rawValue
        if let hash = extent.hash { $0.hash = Data(hash.bytes) }
      })
  }

  /// Answers with what `body` writes, unless there are too many questions under way.
  private func answer<Response: Sendable>(
    _ metadata: Metadata,
    _ body: @escaping @Sendable (AuditCall, RPCWriter<Response>) async throws -> Void
  ) -> StreamingServerResponse<Response> {
    let call = AuditCall(core, reader, timeout: metadata.callTimeout)
    return StreamingServerResponse { writer in
      defer { gate.count.subtract(1, ordering: .relaxed) }
      guard gate.count.add(1, ordering: .relaxed).newValue <= core.limits.auditsAtOnce else {
        throw NodeError(
          .resourceExhausted, reason: "overloaded",
          "this node answers \(core.limits.auditsAtOnce) questions about the past already",
          remedy: "ask again shortly, or ask another node")
      }
      try await withRPCCancellationHandler {
        try await body(call, writer)
      } onCancelRPC: {
        call.cancel()
      }
      return [:]
    }
  }
}

import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Replay
import StateMachines
import SwiftProtobuf

/// A piece of an answer about the past. The version comes first, both of them for a difference.
package enum AuditPiece<Element: Sendable>: Sendable {
  case point(AuditPoint)
  case elements([Element])
  /// The sums of a difference, which end it.
  case summary(DiffSummary)
  /// There was more to tell, of which the entries are no longer kept.
  case cut
}

extension NodeClient {
  /// Takes the pieces of an answer; false ends it.
  package typealias AuditHandler<Element: Sendable> =
    @Sendable (AuditPiece<Element>) throws -> Bool

  /// Routes at a version.
  ///
  /// - Throws: ``NodeError``; or what `body` throws.
  package func auditAt(
    _ question: AuditQuestion, asOf: AsOf, limit: Int = .max, deadline: Duration? = nil,
    _ body: @escaping AuditHandler<Route>
  ) async throws {
    let request = Wire.AuditAtRequest(question, asOf: asOf, limit: limit)
    try await untilEnough {
      try await audits.at(request, options: options(deadline)) { response in
        for try await message in response.messages {
          if message.hasPoint { try Self.hand(.point(message.point.value), to: body) }
          guard !message.routes.isEmpty else { continue }
          try Self.hand(.elements(try message.routes.map { try $0.value() }), to: body)
        }
      }
    }
  }

  /// The routes that differ between two versions, by id, then the sums.
  ///
  /// - Throws: ``NodeError``; or what `body` throws.
  package func auditDiff(
    from: AsOf, to: AsOf, onlySummary: Bool = false, deadline: Duration? = nil,
    _ body: @escaping AuditHandler<ChangedRoute>
  ) async throws {
    let request = Wire.AuditDiffRequest.with {
      $0.from = Cadastre_V1_AsOf(from)
      $0.to = Cadastre_V1_AsOf(to)
      $0.onlySummary = onlySummary
    }
    try await untilEnough {
      try await audits.diff(request, options: options(deadline)) { response in
        var summary: DiffSummary?
        for try await message in response.messages {
          if message.hasFrom { try Self.hand(.point(message.from.value), to: body) }
          if message.hasTo { try Self.hand(.point(message.to.value), to: body) }
          if !message.changes.isEmpty {
            try Self.hand(.elements(try message.changes.map { try $0.value() }), to: body)
          }
          guard message.hasSummary else { continue }
          // It comes in several messages where there are many groups.
          var part = try message.summary.value()
          if let summary {
            part.groups.merge(summary.groups) { first, _ in first }
            part.regions.merge(summary.regions) { first, _ in first }
          }
          summary = part
        }
        guard let summary else {
          throw NodeError(.unavailable, "\(self.address) broke off its answer")
        }
        try Self.hand(.summary(summary), to: body)
      }
    }
  }

  /// Each change of `scope`, newest first.
  ///
  /// - Throws: ``NodeError``; or what `body` throws.
  package func auditHistory(
    of scope: HistoryScope, asOf: AsOf, limit: Int = .max, deadline: Duration? = nil,
    _ body: @escaping AuditHandler<AuditChange>
  ) async throws {
    let request = Wire.AuditHistoryRequest(scope, asOf: asOf, limit: limit)
    try await untilEnough {
      try await audits.history(request, options: options(deadline)) { response in
        for try await message in response.messages {
          if message.hasPoint { try Self.hand(.point(message.point.value), to: body) }
          if !message.changes.isEmpty {
            try Self.hand(.elements(try message.changes.map { try $0.value() }), to: body)
          }
          if message.cut { try Self.hand(.cut, to: body) }
        }
      }
    }
  }

  /// The routes of a span with the entries that made them.
  ///
  /// - Throws: ``NodeError``; or what `body` throws.
  package func auditBlame(
    _ span: KeySpan, asOf: AsOf, limit: Int = .max, deadline: Duration? = nil,
    _ body: @escaping AuditHandler<BlamedRoute>
  ) async throws {
    let request = Wire.AuditBlameRequest.with {
      $0.asOf = Cadastre_V1_AsOf(asOf)
      $0.span = Wire.KeySpan(span)
      $0.limit = limit == .max ? 0 : UInt64(limit)
    }
    try await untilEnough {
      try await audits.blame(request, options: options(deadline)) { response in
        for try await message in response.messages {
          if message.hasPoint { try Self.hand(.point(message.point.value), to: body) }
          guard !message.routes.isEmpty else { continue }
          try Self.hand(.elements(try message.routes.map { try $0.value() }), to: body)
        }
      }
    }
  }

  /// Entries of the log, each decoded and hashed here.
  ///
  /// - Throws: ``NodeError``; or what `body` throws.
  package func auditLog(
    _ bounds: LogBounds = LogBounds(), _ filter: LogFilter = LogFilter(),
    newestFirst: Bool = false, follow: Bool = false, limit: Int = .max,
    deadline: Duration? = nil, _ body: @escaping AuditHandler<EncodedEntry>
  ) async throws {
    let request = Wire.AuditLogRequest(
      bounds, filter, newestFirst: newestFirst, follow: follow, limit: limit)
    try await untilEnough {
      try await audits.log(request, options: options(deadline)) { response in
        var partial: [UInt8] = []
        for try await message in response.messages {
          var entries = message.entries.map { [UInt8]($0) }
          if !message.part.isEmpty {
            partial += message.part
            guard partial.count <= LogEntry.maximumByteCount else {
              throw MalformedMessage("part: the entry is longer than any entry can be")
            }
            if message.lastPart {
              entries.append(partial)
              partial = []
            }
          }
          guard !entries.isEmpty else { continue }
          try Self.hand(.elements(try entries.map { try Self.decode($0) }), to: body)
        }
      }
    }
  }

  private static func decode(_ bytes: [UInt8]) throws -> EncodedEntry {
    do {
      return try EncodedEntry(decoding: bytes)
    } catch {
      throw NodeError(
        .unknown, reason: "undecodable", "an entry of the answer does not decode: \(error)",
        remedy: "use the release that the server runs, or a later one")
    }
  }

  /// A proof of the route that held `key` at a version. It holds for the hash of the entry that it ends
  /// with; whether that is the head's to be trusted is for the caller to say.
  ///
  /// - Throws: ``NodeError``.
  package func auditProof(
    of key: Key, asOf: AsOf, head: LogPosition? = nil, deadline: Duration? = nil
  ) async throws -> (proof: RouteProof, proven: ProvenRoute) {
    let request = Wire.AuditProveRequest.with {
      $0.key = Data(key.bytes)
      $0.asOf = Cadastre_V1_AsOf(asOf)
      if let head { $0.headPosition = head.rawValue }
    }
    let bytes = try await streaming(address) {
      try await audits.prove(request, options: options(deadline)) { response in
        var bytes: [UInt8] = []
        for try await message in response.messages {
          guard bytes.count + message.part.count <= LogEntry.maximumByteCount else {
            throw MalformedMessage("part: the proof is longer than any proof need be")
          }
          bytes += message.part
        }
        return bytes
      }
    }
    func refused(_ why: String) -> NodeError {
      NodeError(
        .dataLoss, reason: "proof_refused", "what \(address) sent does not prove it: \(why)",
        remedy: "ask another node")
    }
    do {
      let proof = try RouteProof(decoding: bytes)
      let last = proof.runs.last?.entries.last ?? []
      let proven = try proof.check(head: last.withUnsafeBytes(EntryHash.init(of:)), at: head)
      guard proven.key == key else { throw refused("it is of another key") }
      if case .version(let version) = asOf, proven.version != version {
        throw refused("it is of version \(proven.version)")
      }
      return (proof, proven)
    } catch let error as NodeError {
      throw error
    } catch {
      throw refused("\(error)")
    }
  }

  /// How far the past reaches, with the hash of the entry at a position.
  package func auditExtent(
    hashAt position: LogPosition, deadline: Duration? = nil
  ) async throws(NodeError) -> AuditExtent {
    let request = Wire.GetAuditExtentRequest.with { $0.position = position.rawValue }
    return try await calling(address) {
      let extent = try await audits.getExtent(request, options: options(deadline))
      let hash: EntryHash? = extent.hasHash ? try fixed("hash", extent.hash) : nil
      return AuditExtent(
        catalog: try fixed("catalog_id", extent.catalogID),
        retained: RetainedVersions(
          oldest: CatalogVersion(extent.oldestVersion),
          newest: CatalogVersion(extent.newestVersion),
          since: extent.hasOldestTime ? HybridTimestamp(extent.oldestTime) : nil),
        first: LogPosition(extent.firstPosition), last: LogPosition(extent.lastPosition),
        hash: hash)
    }
  }

  /// Runs a stream until its end, or until its handler has had enough.
  private func untilEnough(_ call: () async throws -> Void) async throws {
    do {
      try await streaming(address) { try await call() }
    } catch is Enough {
      // Who asked has seen what was wanted; the call is over.
    }
  }
}

private struct Enough: Error {}

extension NodeClient {
  /// Hands a piece to its handler, and ends the call where that has had enough.
  fileprivate static func hand<Element>(
    _ piece: AuditPiece<Element>, to body: AuditHandler<Element>
  ) throws {
    guard try body(piece) else { throw Enough() }
  }
}

import CadastreProtocol
import Catalog
import GRPCCore
import GRPCProtobuf
import SwiftProtobuf

/// Why a call failed, at the node that says so and at the caller that is told: a status code, a
/// message for people and, where the node refused, the details for programs.
package struct NodeError: Error, Sendable, CustomStringConvertible {
  package var code: RPCError.Code
  /// What is wrong and what to do about it.
  package var message: String
  /// Present where a node of ours refused; absent for errors of the connection.
  package var detail: Wire.RefusalDetail?

  package init(_ code: RPCError.Code, _ message: String, detail: Wire.RefusalDetail? = nil) {
    self.code = code
    self.message = message
    self.detail = detail
  }

  /// A refusal with the machine-readable `reason` as its detail's code.
  package init(
    _ code: RPCError.Code, reason: String, _ message: String, remedy: String = "",
    _ fill: (inout Wire.RefusalDetail) -> Void = { _ in }
  ) {
    var detail = Wire.RefusalDetail()
    detail.code = reason
    detail.remedy = remedy
    fill(&detail)
    self.init(code, message, detail: detail)
  }

  package var description: String { message.isEmpty ? "\(code)" : message }

  /// The stable name of the reason, such as `stale_version`; nil where no node of ours refused.
  package var reason: String? { detail?.code }

  /// Whether there was no connection to send the call over.
  package var isUnreachable: Bool {
    code == .unavailable && (reason.map { TLSProblem.reasons.contains($0) } ?? true)
  }
}

extension NodeError {
  /// What a caller was told, with the details unpacked where there are any that can be read.
  package init(_ error: RPCError) {
    self.init(error.code, error.message)
    guard let status = try? error.unpackGoogleRPCStatus() else { return }
    for case let any? in status.details.map(\.any)
    where any.isA(Wire.RefusalDetail.self) {
      detail = try? Wire.RefusalDetail(unpackingAny: any)
    }
  }

  /// Whatever a call threw.
  package init(any error: any Error) {
    switch error {
    case let error as NodeError: self = error
    case let error as RPCError: self.init(error)
    case let error as MalformedMessage: self.init(error)
    case is CancellationError: self.init(.cancelled, "the call was cancelled")
    case let error as any RPCErrorConvertible: self.init(RPCError(error))
    case let error as RuntimeError: self.init(.unavailable, error.message)
    default: self.init(.unknown, "\(error)")
    }
  }

  package init(_ error: MalformedMessage) {
    self.init(.invalidArgument, reason: "malformed", error.description)
  }
}

extension NodeError: RPCErrorConvertible {
  /// Messages travel in a header; this leaves room for the details beside them.
  private static let maximumMessageByteCount = 1024
  /// What the details may take before they are put into base 64. Peers take 8 KiB of headers at
  /// the least.
  private static let maximumDetailByteCount = 3072

  package var rpcErrorCode: RPCError.Code { code }

  package var rpcErrorMessage: String {
    guard message.utf8.count > Self.maximumMessageByteCount else { return message }
    return String(decoding: message.utf8.prefix(Self.maximumMessageByteCount), as: UTF8.self) + "…"
  }

  package var rpcErrorMetadata: Metadata {
    guard let detail,
      let any = try? Google_Protobuf_Any(message: detail.trimmed(to: Self.maximumDetailByteCount))
    else {
      return [:]
    }
    return GoogleRPCStatus(code: code, message: rpcErrorMessage, details: .any(any))
      .rpcErrorMetadata
  }

  package var rpcErrorCause: (any Error)? { nil }
}

extension Cadastre_V1_RefusalDetail {
  /// The detail with routes left out, least useful first, until it takes at most `byteCount`.
  fileprivate func trimmed(to byteCount: Int) -> Self {
    func fits(_ detail: Self) -> Bool {
      (try? detail.serializedBytes() as [UInt8]).map { $0.count <= byteCount } ?? false
    }
    guard !fits(self) else { return self }
    var detail = self
    detail.truncated = true
    while !fits(detail), !(detail.between.isEmpty && detail.newerRoutes.isEmpty) {
      // Halves, so that a hundred thousand routes are not encoded a hundred thousand times.
      if !detail.between.isEmpty {
        detail.between.removeLast((detail.between.count + 1) / 2)
      } else {
        detail.newerRoutes.removeLast((detail.newerRoutes.count + 1) / 2)
      }
    }
    if !fits(detail) { detail.clearHolder() }
    return detail
  }
}

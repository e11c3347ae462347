import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Replay
import SwiftProtobuf

/// Sends the entries of a log that pass a filter, and new ones as they are published.
struct AuditFollower {
  let call: AuditCall
  let writer: RPCWriter<Wire.AuditLogResponse>
  let bounds: LogBounds
  let filter: LogFilter
  let newestFirst: Bool
  let follow: Bool

  /// Sends at most `limit` entries; 0 stands for all.
  func run(limit: UInt64) async throws {
    var left = limit == 0 ? Int.max : Int(clamping: limit)
    try await call.core.changes.withSubscription { subscription in
      try await withRPCCancellationHandler {
        var log = try await call.step { [bounds, filter, newestFirst] in
          try $0.entries(in: bounds, filter, newestFirst: newestFirst)
        }
        while left > 0 {
          let current = log
          let (moved, page) = try await call.step { _ in
            var log = current
            let page = try log.next()
            return (log, page)
          }
          log = moved
          if let page {
            let entries = page.prefix(left)
            left -= entries.count
            try await send(entries.map(\.bytes))
          } else {
            guard follow else { return }
            switch await subscription.wait() {
            case .changed, .due: break
            case .cancelled: throw RPCError.givenUp(hasDeadline: call.due != nil)
            // The next step says that the node is shutting down.
            case .closed: continue
            }
            let last = try await call.step { [bounds] in
              try $0.entries(in: bounds).lastPosition
            }
            log.extend(through: last)
          }
        }
      } onCancelRPC: {
        subscription.cancel()
      }
    }
  }

  /// Sends entries in messages of about the allowed size, and larger ones in parts.
  private func send(_ entries: [[UInt8]]) async throws {
    let limit = call.core.limits.messageByteCount
    var (batch, byteCount) = ([Data](), 0)
    func flush() async throws {
      guard !batch.isEmpty else { return }
      let entries = batch
      try await writer.write(.with { $0.entries = entries })
      (batch, byteCount) = ([], 0)
    }
    for entry in entries {
      if byteCount + entry.count > limit { try await flush() }
      guard entry.count > limit else {
        batch.append(Data(entry))
        byteCount += entry.count
        continue
      }
      for offset in stride(from: 0, to: entry.count, by: limit) {
        let end = min(offset + limit, entry.count)
        try await writer.write(
          .with {
            $0.part = Data(entry[offset..<end])
            $0.lastPart = end == entry.count
          })
      }
    }
    try await flush()
  }
}

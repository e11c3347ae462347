import CadastreClient
import Catalog
import GRPCCore
import NIOPosix
import Replay
import StateMachines
import Synchronization

/// One question about the past that a node was asked: reads the log step by step, off the event loops,
/// for as long as the caller waits.
struct AuditCall: Sendable {
  let core: NodeCore
  private let reader: AuditReader
  let due: Moment?
  private let isGone = Gone()

  private final class Gone: Sendable {
    let isSet = Atomic<Bool>(false)
  }

  init(_ core: NodeCore, _ reader: AuditReader, timeout: Duration?) {
    self.core = core
    due = timeout.map { core.clock.now() + $0 }
    var reader = reader
    let (isGone, due, clock) = (isGone, due, core.clock)
    reader.isCancelled = {
      isGone.isSet.load(ordering: .relaxed) || due.map { clock.now() >= $0 } ?? false
    }
    self.reader = reader
  }

  /// Nobody waits for the answer any more.
  func cancel() { isGone.isSet.store(true, ordering: .relaxed) }

  /// Takes a step, which blocks, on a thread of its own.
  ///
  /// - Throws: ``NodeError``.
  func step<Result: Sendable>(
    _ body: @escaping @Sendable (AuditReader) throws -> Result
  ) async throws -> Result {
    guard !core.changes.isClosed else {
      throw NodeError(
        .unavailable, reason: "shutting_down", "this node is shutting down",
        remedy: "ask another node")
    }
    if let due, core.clock.now() >= due { throw Self.tooLate }
    do {
      return try await NIOThreadPool.singleton.runIfActive { [reader] in try body(reader) }
    } catch AuditError.store(.cancelled) where !isGone.isSet.load(ordering: .relaxed) {
      throw Self.tooLate
    } catch ProverError.store(.cancelled) where !isGone.isSet.load(ordering: .relaxed) {
      throw Self.tooLate
    } catch let error as AuditError {
      throw NodeError(error)
    } catch let error as ProverError {
      throw NodeError(error)
    }
  }

  private static let tooLate = NodeError(
    .deadlineExceeded, reason: "deadline_exceeded",
    "the answer was not ready when the caller's deadline came",
    remedy: "give it more time, or ask for less at once")

  /// The version that is meant. One that a learner has not reached yet is waited for.
  func resolve(_ asOf: AsOf) async throws -> AuditPoint {
    if case .version(let version) = asOf, core.role == .learner,
      version > core.store.current.version
    {
      _ = try await core.view(
        meeting: ReadDemand(minimumVersion: version),
        timeout: due.map { max(.zero, $0 - core.clock.now()) })
    }
    return try await step { try $0.resolve(asOf) }
  }

  /// Hands out the pages of a cursor, of at most `pageCount` elements each, in pieces of about the size of a message, at most `limit`
  /// elements; returns the cursor as it is at the end, or nil when there may be more.
  func send<Cursor: Sendable, Element: Sendable>(
    pagesOf cursor: Cursor, of pageCount: Int = 1024, limit: UInt64, size: (Element) -> Int,
    _ next: @escaping @Sendable (inout Cursor, Int) throws -> [Element]?,
    _ write: ([Element]) async throws -> Void
  ) async throws -> Cursor? {
    var cursor = cursor
    var left = limit == 0 ? Int.max : Int(clamping: limit)
    while left > 0 {
      let (current, count) = (cursor, min(left, pageCount))
      let (moved, page) = try await step { _ in
        var cursor = current
        let page = try next(&cursor, count)
        return (cursor, page)
      }
      cursor = moved
      guard let page else { return cursor }
      left -= min(left, page.count)
      try await send(page.prefix(count), size: size, write)
    }
    return nil
  }

  private func send<Element>(
    _ page: ArraySlice<Element>, size: (Element) -> Int,
    _ write: ([Element]) async throws -> Void
  ) async throws {
    var (piece, byteCount) = ([Element](), 0)
    for element in page {
      let cost = size(element)
      if !piece.isEmpty, byteCount + cost > core.limits.messageByteCount {
        try await write(piece)
        (piece, byteCount) = ([], 0)
      }
      piece.append(element)
      byteCount += cost
    }
    if !piece.isEmpty { try await write(piece) }
  }
}

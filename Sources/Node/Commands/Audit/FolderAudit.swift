import Catalog
import Replay
import StateMachines

/// The past of a catalog in a folder, read beside whoever writes it.
struct FolderAudit: AuditCatalog {
  /// How often the folder is looked at for what others wrote.
  private static let pollInterval: Duration = .milliseconds(100)
  /// How many routes or changes are looked up at a time.
  private static let pageCount = 1024

  private let log: EventLog
  private let reader: AuditReader
  private let bar: ReplayBar

  /// - Throws: ``Problem``.
  init(folder: String) throws {
    let bar = ReplayBar("replaying")
    self.bar = bar
    do {
      log = try EventLog.open(folder: folder, mode: .readOnly)
    } catch {
      throw Problem(error)
    }
    let checkpoints = CheckpointStore.forReading(log) { FolderReader.warn($0) }
    var reader = AuditReader(log, checkpoints: { checkpoints })
    reader.isCancelled = { Task.isCancelled }
    reader.onProgress = { bar.update($0) }
    self.reader = reader
  }

  func at(
    _ question: AuditQuestion, asOf: AsOf, limit: Int, _ body: @escaping Handler<Route>
  ) async throws {
    try answering {
      let point = try reader.resolve(asOf)
      guard try body(.point(point)) else { return }
      switch question {
      case .keys(let keys):
        _ = try body(.elements(try reader.routes(containing: keys, at: point)))
      case .ids(let ids):
        _ = try body(.elements(try reader.routes(withIDs: ids, at: point)))
      case .group(let group):
        let listing = try reader.routes(of: group, at: point)
        try pages(of: listing, limit: limit, body) { try $0.next(limit: $1) }
      case .span(let span):
        let listing = try reader.routes(overlapping: span, at: point)
        try pages(of: listing, limit: limit, body) { try $0.next(limit: $1) }
      }
    }
  }

  func diff(
    from: AsOf, to: AsOf, onlySummary: Bool, _ body: @escaping Handler<ChangedRoute>
  ) async throws {
    try answering {
      let (from, to) = (try reader.resolve(from), try reader.resolve(to))
      guard try body(.point(from)), try body(.point(to)) else { return }
      var diff = try reader.diff(from: from, to: to)
      while let page = try diff.next() {
        try Task.checkCancellation()
        guard try onlySummary || body(.elements(page)) else { return }
      }
      _ = try body(.summary(diff.summary))
    }
  }

  func history(
    of scope: HistoryScope, asOf: AsOf, limit: Int, _ body: @escaping Handler<AuditChange>
  ) async throws {
    try answering {
      let point = try reader.resolve(asOf)
      guard try body(.point(point)) else { return }
      var history = try reader.history(scope, through: point)
      let isWhole = try pages(of: &history, limit: limit, body) { try $0.next(limit: $1) }
      if isWhole, history.isCut { _ = try body(.cut) }
    }
  }

  func blame(
    _ span: KeySpan, asOf: AsOf, limit: Int, _ body: @escaping Handler<BlamedRoute>
  ) async throws {
    try answering {
      let point = try reader.resolve(asOf)
      guard try body(.point(point)) else { return }
      let blame = try reader.blame(span, at: point)
      try pages(of: blame, limit: limit, body) { try $0.next(limit: $1) }
    }
  }

  func log(_ question: LogQuestion, _ body: @escaping Handler<EncodedEntry>) async throws {
    var cursor = try answering {
      try reader.entries(
        in: question.bounds, question.filter, newestFirst: question.newestFirst)
    }
    var limit = question.limit
    while limit > 0 {
      let page = try answering { try cursor.next() }
      if var page {
        if page.count > limit { page.removeLast(page.count - limit) }
        limit -= page.count
        guard try page.isEmpty || body(.elements(page)) else { return }
        try Task.checkCancellation()
      } else {
        guard question.follow else { return }
        try await Task.sleep(for: Self.pollInterval)
        let last = try answering { try reader.lastPosition(in: question.bounds) }
        cursor.extend(through: last)
      }
    }
  }

  func prove(
    _ key: Key, asOf: AsOf, head: LogPosition?
  ) async throws -> (proof: RouteProof, proven: ProvenRoute) {
    try answering {
      let version = try reader.resolve(asOf).version
      do throws(ProverError) {
        return try reader.prove(key, at: version, head: head)
      } catch {
        throw Problem(error)
      }
    }
  }

  func extent(hashAt position: LogPosition) async throws -> AuditExtent {
    try answering { try reader.extent(hashAt: position) }
  }

  /// Says what went wrong for the person at the terminal.
  private func answering<Result>(_ body: () throws -> Result) throws -> Result {
    defer { bar.finish() }
    do {
      return try body()
    } catch let error as AuditError {
      throw Problem(error)
    }
  }

  /// Hands out pages until `limit` elements were; false when there were more.
  @discardableResult
  private func pages<Cursor, Element>(
    of cursor: Cursor, limit: Int, _ body: Handler<Element>,
    _ next: (inout Cursor, Int) throws -> [Element]?
  ) throws -> Bool {
    var cursor = cursor
    return try pages(of: &cursor, limit: limit, body, next)
  }

  private func pages<Cursor, Element>(
    of cursor: inout Cursor, limit: Int, _ body: Handler<Element>,
    _ next: (inout Cursor, Int) throws -> [Element]?
  ) throws -> Bool {
    var left = limit
    while left > 0 {
      try Task.checkCancellation()
      guard var page = try next(&cursor, min(left, Self.pageCount)) else { return true }
      if page.count > left { page.removeLast(page.count - left) }
      left -= page.count
      guard try page.isEmpty || body(.elements(page)) else { return false }
    }
    return false
  }
}

extension AuditReader {
  /// The last entry within bounds that may be open at their end.
  fileprivate func lastPosition(in bounds: LogBounds) throws(AuditError) -> LogPosition {
    try entries(in: bounds).lastPosition
  }
}

import Catalog
import Replay
import StateMachines
import Synchronization

/// A version of one catalog against a version of another that should have the same history, as a
/// leader and its mirror do.
struct CatalogComparison: Sendable {
  let here: any AuditCatalog
  let there: any AuditCatalog

  /// Up to where two logs are the same.
  struct Ancestry: Sendable {
    /// The last entry that both logs have, with its hash; nil when they have none in common, or none
    /// that both still keep.
    var common: (position: LogPosition, hash: EntryHash)?
    /// The entries behind it, here and there; nil where the log ends.
    var next: (here: EncodedEntry?, there: EncodedEntry?)

    /// Whether the logs go on with different entries.
    var isDiverged: Bool {
      common == nil || next.here != nil && next.there != nil
    }
  }

  /// Finds the last common entry by its hash, which vouches for all entries before it. Asks for
  /// O(log *n*) hashes.
  ///
  /// - Throws: ``Problem`` when the catalogs are not the same one.
  func ancestry() async throws -> Ancestry {
    let (own, other) = (
      try await here.extent(hashAt: .zero), try await there.extent(hashAt: .zero)
    )
    guard own.catalog == other.catalog else {
      throw Problem(
        .refused, code: "wrong-catalog",
        "these are two catalogs: \(own.catalog) and \(other.catalog)",
        help: "compare places that hold the same catalog, as a leader and its mirror")
    }
    // The one before the first entry that both keep: its hash stands in that entry.
    var low = max(own.first, other.first).rawValue - 1
    var high = min(own.last, other.last).rawValue + 1
    guard low < high, var hash = try await commonHash(at: LogPosition(low)) else {
      return Ancestry(common: nil, next: (nil, nil))
    }
    while high - low > 1 {
      let middle = low + (high - low) / 2
      if let found = try await commonHash(at: LogPosition(middle)) {
        (low, hash) = (middle, found)
      } else {
        high = middle
      }
    }
    let next = LogPosition(low + 1)
    return Ancestry(
      common: (LogPosition(low), hash),
      next: (try await here.entry(at: next), try await there.entry(at: next)))
  }

  /// The hash of the entry at a position, where it is the same in both logs.
  private func commonHash(at position: LogPosition) async throws -> EntryHash? {
    let own = try await here.extent(hashAt: position).hash
    let other = try await there.extent(hashAt: position).hash
    return own == other ? own : nil
  }

  /// The routes that differ, by id: before is what is here, after is what is there.
  ///
  /// What both have in common is not looked at: it costs what either changed since.
  func differences(
    _ ancestry: Ancestry, here own: AsOf, there other: AsOf,
    _ body: @escaping @Sendable (AuditPiece<ChangedRoute>) throws -> Bool
  ) async throws {
    let (ownPoint, otherPoint) = (try await here.point(own), try await there.point(other))
    guard try body(.point(ownPoint)), try body(.point(otherPoint)) else { return }
    let merge = Mutex(Merge(body))
    if let common = ancestry.common {
      let base = min(common.position, ownPoint.position, otherPoint.position)
      let version = AsOf.version(try await here.version(at: base))
      try await here.diff(from: version, to: .version(ownPoint.version), onlySummary: false) {
        piece in
        if case .elements(let changes) = piece { merge.withLock { $0.own += changes } }
        return true
      }
      try await there.diff(from: version, to: .version(otherPoint.version), onlySummary: false) {
        piece in
        guard case .elements(let changes) = piece else { return true }
        return try merge.withLock { try $0.take(changes) }
      }
    } else {
      // Nothing vouches for anything: all routes are compared.
      let ownVersion = AsOf.version(ownPoint.version)
      try await here.at(.span(.all), asOf: ownVersion, limit: .max) { piece in
        guard case .elements(let routes) = piece else { return true }
        merge.withLock { merge in
          merge.own += routes.map { ChangedRoute(id: $0.id, before: nil, after: $0) }
        }
        return true
      }
      merge.withLock { $0.own.sort { $0.id < $1.id } }
      let others = Mutex<[ChangedRoute]>([])
      let otherVersion = AsOf.version(otherPoint.version)
      try await there.at(.span(.all), asOf: otherVersion, limit: .max) { piece in
        guard case .elements(let routes) = piece else { return true }
        others.withLock { others in
          others += routes.map { ChangedRoute(id: $0.id, before: nil, after: $0) }
        }
        return true
      }
      let sorted = others.withLock { $0.sorted { $0.id < $1.id } }
      _ = try merge.withLock { try $0.take(sorted) }
    }
    try merge.withLock { try $0.end() }
  }

  /// Puts together what was changed here and there since the common version, both by id.
  private struct Merge: ~Copyable {
    var own: [ChangedRoute] = []
    private var next = 0
    private var summary = DiffSummary()
    private let body: @Sendable (AuditPiece<ChangedRoute>) throws -> Bool

    init(_ body: @escaping @Sendable (AuditPiece<ChangedRoute>) throws -> Bool) {
      self.body = body
    }

    /// Takes what was changed there; false when nobody wants to know more.
    mutating func take(_ changes: [ChangedRoute]) throws -> Bool {
      var found: [ChangedRoute] = []
      for change in changes {
        addOwn(before: change.id, to: &found)
        if next < own.count, own[next].id == change.id {
          add(change.id, here: own[next].after, there: change.after, to: &found)
          next += 1
        } else {
          // Here the route is as it was.
          add(change.id, here: change.before, there: change.after, to: &found)
        }
      }
      return try found.isEmpty || body(.elements(found))
    }

    mutating func end() throws {
      var found: [ChangedRoute] = []
      addOwn(before: nil, to: &found)
      if !found.isEmpty { guard try body(.elements(found)) else { return } }
      _ = try body(.summary(summary))
    }

    /// Adds what was changed here alone.
    private mutating func addOwn(before id: RouteID?, to found: inout [ChangedRoute]) {
      while next < own.count, id.map({ own[next].id < $0 }) ?? true {
        add(own[next].id, here: own[next].after, there: own[next].before, to: &found)
        next += 1
      }
    }

    private mutating func add(
      _ id: RouteID, here: Route?, there: Route?, to found: inout [ChangedRoute]
    ) {
      guard here != there else { return }
      let change = ChangedRoute(id: id, before: here, after: there)
      summary.add(change)
      found.append(change)
    }
  }
}

extension AuditCatalog {
  /// The entry at a position; nil when there is none.
  fileprivate func entry(at position: LogPosition) async throws -> EncodedEntry? {
    var question = LogQuestion()
    question.bounds.firstPosition = position
    question.bounds.lastPosition = position
    let found = Mutex<EncodedEntry?>(nil)
    try await log(question) { piece in
      if case .elements(let entries) = piece { found.withLock { $0 = entries.first } }
      return true
    }
    return found.withLock { $0 }
  }

  /// The version after the entry at a position that is kept, or before the first that is.
  fileprivate func version(at position: LogPosition) async throws -> CatalogVersion {
    if let entry = try await entry(at: position) { return entry.entry.version }
    return try await extent(hashAt: position).retained.oldest
  }

  /// The version that is meant.
  fileprivate func point(_ asOf: AsOf) async throws -> AuditPoint {
    let found = Mutex<AuditPoint?>(nil)
    try await at(.ids([]), asOf: asOf, limit: 1) { piece in
      if case .point(let point) = piece { found.withLock { $0 = point } }
      return true
    }
    guard let point = found.withLock({ $0 }) else { throw CancellationError() }
    return point
  }
}

extension CatalogComparison.Ancestry {
  /// The ancestry as `--json` writes it.
  var fields: [(name: String, value: JSON)] {
    var shared = JSON.null
    if let common {
      shared = ["position": JSON(common.position), "hash": .string(common.hash.description)]
    }
    return [
      ("diverged", .bool(isDiverged)), ("common", shared),
      ("next_here", next.here?.json ?? .null), ("next_there", next.there?.json ?? .null),
    ]
  }

  /// The ancestry for people.
  var text: String {
    guard let common else { return "the two logs have no entry in common, or keep none" }
    let same = "the two logs are the same through entry \(common.position) (\(common.hash))"
    return switch (next.here, next.there) {
    case (nil, nil): same + ", where both end"
    case (nil, .some): same + ", where the one here ends"
    case (.some, nil): same + ", where the other one ends"
    case (let own?, let other?):
      same + " and then diverge\nhere:  \(own.briefText)\nthere: \(other.briefText)"
    }
  }
}

extension EncodedEntry {
  /// Which entry it is, in a line.
  fileprivate var briefText: String {
    "entry \(entry.position), \(entry.time.text) UTC, version \(entry.version), "
      + "by \(plainText(entry.actor))"
      + (entry.reason.isEmpty ? "" : ": \(plainText(entry.reason))")
  }
}

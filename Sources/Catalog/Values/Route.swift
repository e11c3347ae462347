/// One parcel of the keyspace: which group owns it, and since when it is as it is.
public struct Route: Hashable, Sendable {
  /// Names the route for ever.
  public var id: RouteID
  /// The keys that it holds.
  public var span: KeySpan
  /// Who serves it.
  public var group: GroupID
  /// What may be done with its keys.
  public var state: RouteState
  /// The route that this one was split from; nil for a route of the bootstrap.
  public var parent: RouteID?
  /// Where replicas may live: sorted, without repeats; empty means anywhere.
  public var allowedRegions: [Region]
  /// The version that made the route what it is.
  public var version: CatalogVersion
  /// The time of the entry that made that version.
  public var changedAt: HybridTimestamp

  /// A route of these parts.
  public init(
    id: RouteID, span: KeySpan, group: GroupID, state: RouteState = .active,
    parent: RouteID? = nil, allowedRegions: [Region] = [], version: CatalogVersion,
    changedAt: HybridTimestamp
  ) {
    self.id = id
    self.span = span
    self.group = group
    self.state = state
    self.parent = parent
    self.allowedRegions = allowedRegions
    self.version = version
    self.changedAt = changedAt
  }
}

/// What may be done with the keys of a route. The raw value is its byte in the log.
public enum RouteState: UInt8, CaseIterable, Sendable {
  /// Serves reads and writes.
  case active = 0
  /// Serves reads; writes wait, as before a hand-over.
  case writeFenced = 1
  /// Is being copied away; still serves.
  case migratingSource = 2
  /// Is being copied here; does not serve yet.
  case migratingTarget = 3
  /// Lost with its region until it is promoted elsewhere.
  case softFailed = 4
}

extension RouteState: CustomStringConvertible {
  /// The state's name, as commands and listings write it.
  public var description: String {
    switch self {
    case .active: "active"
    case .writeFenced: "write-fenced"
    case .migratingSource: "migrating-source"
    case .migratingTarget: "migrating-target"
    case .softFailed: "soft-failed"
    }
  }

  /// Reads what ``description`` writes.
  public init?(name: some StringProtocol) {
    guard let state = Self.allCases.first(where: { $0.description == name }) else { return nil }
    self = state
  }
}

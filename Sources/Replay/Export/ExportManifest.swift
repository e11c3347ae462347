import Catalog
import StateMachines

/// What an export holds: its first part, in JSON of one form, for people and programs alike.
package struct ExportManifest: Hashable, Sendable {
  /// The newest format that is read.
  package static let format: UInt64 = 3
  /// The format of an export whose states have no members.
  static let firstFormat: UInt64 = 1

  /// The format of an export with members, and without commands.
  static let membersFormat: UInt64 = 2

  /// The format that is written.
  private var format: UInt64 {
    if commandCount > 0 { return Self.format }
    return state.membership == .zero && base?.state.membership ?? .zero == .zero
      ? Self.firstFormat : Self.membersFormat
  }

  package enum Kind: String, Hashable, Sendable {
    /// The state at one version.
    case catalog
    /// All entries of a log, and the state that they begin after.
    case log
  }

  package var kind: Kind
  /// The state that the export ends with.
  package var state: StateHeader
  package var routeCount: UInt64
  /// How many entries there are; none in a catalog's.
  package var entryCount: UInt64
  /// How many commands are known from before the entries, or up to a catalog's state.
  package var commandCount: UInt64 = 0
  /// The state that the entries begin after, with the number of its routes; nil when they begin with
  /// the catalog's first.
  package var base: Base?

  package struct Base: Hashable, Sendable {
    package var state: StateHeader
    package var routeCount: UInt64
  }

  /// The manifest as JSON: an object of numbers and of strings that need no escapes.
  package var text: String {
    var fields = [
      ("cadastre_export", "\(format)"), ("kind", "\"\(kind.rawValue)\""),
      ("catalog", "\"\(state.catalog)\""),
    ]
    fields += Self.fields("", state, routeCount)
    fields.append(("entries", "\(entryCount)"))
    if commandCount > 0 { fields.append(("commands", "\(commandCount)")) }
    if let base { fields += Self.fields("base_", base.state, base.routeCount) }
    return "{" + fields.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
  }

  private static func fields(
    _ prefix: String, _ header: StateHeader, _ routeCount: UInt64
  ) -> [(String, String)] {
    [
      (prefix + "position", "\(header.position)"), (prefix + "hash", "\"\(header.hash)\""),
      (prefix + "time_ms", "\(header.time.milliseconds)"),
      (prefix + "time_counter", "\(header.time.counter)"),
      (prefix + "version", "\(header.version)"),
      (prefix + "next_route_id", "\(header.nextRouteID)"),
      (prefix + "digest", "\"\(header.digest)\""), (prefix + "routes", "\(routeCount)"),
    ] + (header.membership == .zero ? [] : [(prefix + "members", "\"\(header.membership)\"")])
  }

  package init(
    kind: Kind, state: StateHeader, routeCount: UInt64, entryCount: UInt64,
    commandCount: UInt64 = 0, base: Base? = nil
  ) {
    self.kind = kind
    self.state = state
    self.routeCount = routeCount
    self.entryCount = entryCount
    self.commandCount = commandCount
    self.base = base
  }

  /// Reads what ``text`` writes; nil when it is anything else.
  package init?(_ text: String) {
    guard text.hasPrefix("{"), text.hasSuffix("}") else { return nil }
    var fields: [String: String] = [:]
    for field in text.dropFirst().dropLast().split(separator: ",") {
      let parts = field.split(separator: ":", maxSplits: 1)
      guard parts.count == 2 else { return nil }
      fields[Self.unquoted(parts[0])] = Self.unquoted(parts[1])
    }
    guard let kind = fields["kind"].flatMap(Kind.init(rawValue:)),
      let catalog = fields["catalog"].flatMap({ CatalogID(hexadecimal: $0) }),
      let (state, routes) = Self.state("", fields, catalog),
      let entries = fields["entries"].flatMap({ UInt64($0) })
    else { return nil }
    self.init(
      kind: kind, state: state, routeCount: routes, entryCount: entries,
      commandCount: fields["commands"].flatMap { UInt64($0) } ?? 0)
    if let (state, routes) = Self.state("base_", fields, catalog) {
      base = Base(state: state, routeCount: routes)
    }
    // One form: so nothing is there that was passed over.
    guard self.text == text else { return nil }
  }

  /// The number behind `cadastre_export`, whatever else there is.
  static func format(in text: String) -> UInt64? {
    let head = "{\"cadastre_export\":"
    guard text.hasPrefix(head) else { return nil }
    return UInt64(text.dropFirst(head.count).prefix { $0.isASCII && $0.isNumber })
  }

  private static func unquoted(_ text: Substring) -> String {
    text.hasPrefix("\"") && text.hasSuffix("\"") && text.count > 1
      ? String(text.dropFirst().dropLast()) : String(text)
  }

  private static func state(
    _ prefix: String, _ fields: [String: String], _ catalog: CatalogID
  ) -> (StateHeader, UInt64)? {
    func number(_ name: String) -> UInt64? { fields[prefix + name].flatMap { UInt64($0) } }
    guard let position = number("position"), position <= LogPosition.last.rawValue,
      let hash = fields[prefix + "hash"].flatMap({ EntryHash(hexadecimal: $0) }),
      let milliseconds = number("time_ms"), milliseconds <= HybridTimestamp.maximumMilliseconds,
      let counter = number("time_counter").flatMap({ UInt16(exactly: $0) }),
      let version = number("version"), let next = number("next_route_id"),
      let digest = fields[prefix + "digest"].flatMap({ StateDigest(hexadecimal: $0) }),
      let routes = number("routes")
    else { return nil }
    let header = StateHeader(
      catalog: catalog, position: LogPosition(position), hash: hash,
      time: HybridTimestamp(milliseconds: milliseconds, counter: counter),
      version: CatalogVersion(version), nextRouteID: RouteID(next), digest: digest,
      membership: fields[prefix + "members"].flatMap { StateDigest(hexadecimal: $0) } ?? .zero)
    return (header, routes)
  }
}

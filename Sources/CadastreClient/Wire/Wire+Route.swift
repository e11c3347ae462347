import CadastreProtocol
import Catalog
import Foundation
import SwiftProtobuf

/// A message from outside that says something that cannot be.
public struct MalformedMessage: Error, Equatable, Sendable, CustomStringConvertible {
  /// What is wrong, naming the field and what would be right.
  public let description: String

  package init(_ description: String) { self.description = description }
}

extension Cadastre_V1_RouteState {
  package init(_ state: RouteState) {
    self =
      switch state {
      case .active: .active
      case .writeFenced: .writeFenced
      case .migratingSource: .migratingSource
      case .migratingTarget: .migratingTarget
      case .softFailed: .softFailed
      }
  }

  /// - Throws: ``MalformedMessage`` when it is none that this version knows.
  package func value() throws(MalformedMessage) -> RouteState {
    switch self {
    case .active: .active
    case .writeFenced: .writeFenced
    case .migratingSource: .migratingSource
    case .migratingTarget: .migratingTarget
    case .softFailed: .softFailed
    case .unspecified, .UNRECOGNIZED:
      throw MalformedMessage(
        "state: \(rawValue) is no route state: give one of "
          + RouteState.allCases.map(\.description).joined(separator: ", "))
    }
  }
}

extension Cadastre_V1_Route {
  package init(_ route: Route) {
    self.init()
    id = route.id.rawValue
    start = Data(route.span.lower.bytes)
    if let upper = route.span.upper { end = Data(upper.bytes) }
    groupID = route.group.rawValue
    state = Wire.RouteState(route.state)
    parentID = route.parent?.rawValue ?? 0
    allowedRegions = route.allowedRegions.map(\.name)
    version = route.version.rawValue
    changedAt = route.changedAt.rawValue
  }

  /// - Throws: ``MalformedMessage`` when a field is out of its range.
  package func value() throws(MalformedMessage) -> Route {
    Route(
      id: RouteID(id), span: try span("route \(id)", start, hasEnd ? end : nil),
      group: GroupID(groupID), state: try state.value(),
      parent: parentID == 0 ? nil : RouteID(parentID),
      allowedRegions: try regions("allowed_regions", allowedRegions),
      version: CatalogVersion(version), changedAt: HybridTimestamp(changedAt))
  }

  /// About how many bytes it takes on the wire.
  package var approximateSize: Int {
    start.count + end.count + 48 + allowedRegions.reduce(0) { $0 + $1.utf8.count + 2 }
  }
}

extension Cadastre_V1_KeySpan {
  package init(_ span: KeySpan) {
    self.init()
    start = Data(span.lower.bytes)
    if let upper = span.upper { end = Data(upper.bytes) }
  }

  /// - Throws: ``MalformedMessage`` when a key is too long or the span is empty.
  package func value() throws(MalformedMessage) -> KeySpan {
    try span("span", start, hasEnd ? end : nil)
  }
}

/// Reads a key, naming `field` where it is too long.
package func key(_ field: String, _ data: Data) throws(MalformedMessage) -> Key {
  do { return try Key(data) } catch { throw MalformedMessage("\(field): \(error)") }
}

private func span(
  _ field: String, _ start: Data, _ end: Data?
) throws(MalformedMessage) -> KeySpan {
  let lower = try key("\(field): start", start)
  let upper: Key? = if let end { try key("\(field): end", end) } else { nil }
  do {
    return try KeySpan(lower, upper)
  } catch { throw MalformedMessage("\(field): \(error)") }
}

/// Reads names of regions, naming `field` where one is malformed.
package func regions(
  _ field: String, _ names: [String]
) throws(MalformedMessage) -> [Region] {
  var regions: [Region] = []
  regions.reserveCapacity(names.count)
  for name in names {
    do {
      regions.append(try Region(name))
    } catch { throw MalformedMessage("\(field): \(error)") }
  }
  return regions
}

/// Reads a value of a fixed number of bytes, naming `field` where there are more or fewer.
package func fixed<Value: FixedBytes>(
  _ field: String, _ data: Data, as type: Value.Type = Value.self
) throws(MalformedMessage) -> Value {
  guard let value = Value(bytes: data) else {
    throw MalformedMessage("\(field): \(data.count) bytes instead of \(Value.byteCount)")
  }
  return value
}

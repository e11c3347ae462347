import Catalog
import Foundation

extension JSON {
  /// The fields for a key: `name` in the text form, and `name_hex` where that form had to escape,
  /// so that a reader need not know the escapes.
  static func fields(_ name: String, _ key: Catalog.Key?) -> [(name: String, value: JSON)] {
    guard let key else { return [(name, .null)] }
    let text = key.description
    if text.utf8.elementsEqual(key.bytes) { return [(name, .string(text))] }
    return [(name, .string(text)), (name + "_hex", .string(hexadecimal(key.bytes)))]
  }

  /// The fields for a timestamp: it does not fit the 53 bits that some readers keep of a number.
  static func fields(_ name: String, _ time: HybridTimestamp) -> [(name: String, value: JSON)] {
    [
      (name + "_ms", .number(time.milliseconds)),
      (name + "_counter", .number(UInt64(time.counter))),
    ]
  }
}

extension Route {
  /// The route as `--json` writes it.
  var json: JSON {
    var fields: [(name: String, value: JSON)] = [("id", JSON(id))]
    fields += JSON.fields("start", span.lower)
    fields += JSON.fields("end", span.upper)
    fields += [
      ("group", JSON(group)),
      ("state", .string(state.description)),
      ("parent", JSON(parent?.rawValue)),
      ("allowed_regions", .array(allowedRegions.map { .string($0.name) })),
      ("version", JSON(version)),
    ]
    return .object(fields + JSON.fields("changed_at", changedAt))
  }

  /// The regions, for people.
  var regionsText: String {
    allowedRegions.isEmpty ? "any" : allowedRegions.map(\.name).joined(separator: ",")
  }
}

extension TextTable {
  /// A table of routes.
  static func routes() -> TextTable {
    TextTable(
      .right("ROUTE"), .right("GROUP"), .left("STATE"), .left("REGIONS"), .right("VERSION"),
      .left("START"), .left("END"))
  }

  mutating func add(_ route: Route) {
    add(
      route.id.description, route.group.description, route.state.description, route.regionsText,
      route.version.description, quoted(route.span.lower), route.span.upper.map(quoted) ?? "∞")
  }
}

/// A key as people see it: in quotes, so that the least one and blanks show.
func quoted(_ key: Catalog.Key) -> String { "\"\(key)\"" }

extension HybridTimestamp {
  /// The time of day in UTC to the millisecond, for people: `2026-08-01 12:00:00.123`.
  var text: String {
    let date = Date(timeIntervalSince1970: Double(milliseconds) / 1000)
    let style = Date.VerbatimFormatStyle(
      format:
        "\(year: .padded(4))-\(month: .twoDigits)-\(day: .twoDigits) \(hour: .twoDigits(clock: .twentyFourHour, hourCycle: .zeroBased)):\(minute: .twoDigits):\(second: .twoDigits)",
      locale: Locale(identifier: "en_US_POSIX"), timeZone: .gmt,
      calendar: Calendar(identifier: .gregorian))
    let fraction = String(milliseconds % 1000)
    return date.formatted(style) + "." + String(repeating: "0", count: 3 - fraction.count)
      + fraction
  }
}

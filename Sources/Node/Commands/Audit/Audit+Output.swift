import Catalog
import Replay
import StateMachines

extension AuditPoint {
  /// The point as `--json` writes it.
  var fields: [(name: String, value: JSON)] {
    var fields: [(name: String, value: JSON)] = [
      ("version", JSON(version)), ("position", JSON(position)),
    ]
    if let time {
      fields += JSON.fields("time", time)
    } else {
      fields += [("time_ms", .null), ("time_counter", .null)]
    }
    return fields
  }

  var json: JSON { .object(fields) }

  /// The point for people: `version 7 (2026-08-01 12:00:00.123)`.
  var text: String { "version \(version)" + (time.map { " (\($0.text) UTC)" } ?? "") }
}

extension AuditStamp {
  /// The stamp as `--json` writes it.
  var json: JSON {
    .object(
      [("version", JSON(version)), ("position", JSON(position))] + JSON.fields("time", time) + [
        ("actor", .string(actor)),
        ("reason", .string(reason)),
        ("command_id", .string(command.description)),
      ])
  }
}

extension ChangedRoute {
  /// The change as `--json` writes it.
  var json: JSON {
    [
      "id": JSON(id), "change": .string(kind.name), "before": before?.json ?? .null,
      "after": after?.json ?? .null,
    ]
  }

  enum Kind {
    case added, removed, changed

    var name: String {
      switch self {
      case .added: "added"
      case .removed: "removed"
      case .changed: "changed"
      }
    }

    var sign: String {
      switch self {
      case .added: "+"
      case .removed: "-"
      case .changed: "~"
      }
    }
  }

  var kind: Kind {
    if before == nil { return .added }
    return after == nil ? .removed : .changed
  }
}

extension AuditChange {
  /// The change as `--json` writes it.
  var json: JSON {
    stamp.json.adding([
      "route": JSON(route),
      "kinds": .array(EventKind.allCases.filter(kinds.contains).map { .string($0.rawValue) }),
      "before": before?.json ?? .null, "after": after?.json ?? .null,
    ])
  }

  var kindsText: String {
    EventKind.allCases.filter(kinds.contains).map(\.rawValue).joined(separator: "+")
  }

  /// What the change made of the route, for people.
  var text: String {
    guard let before else { return after.map { "made: \($0.briefText)" } ?? "came and went" }
    guard let after else { return "gone: \(before.briefText)" }
    if before.id == after.id { return before.difference(to: after) }
    let difference = before.difference(to: after)
    return after.id == route
      ? "route \(after.id) came from route \(before.id): \(difference)"
      : "route \(before.id) went into route \(after.id): \(difference)"
  }
}

extension Route {
  /// The route in a few words.
  var briefText: String {
    "\(span) group \(group) \(state)"
      + (allowedRegions.isEmpty ? "" : " in \(regionsText)")
  }

  /// What of the route is another in `other`, for people.
  func difference(to other: Route) -> String {
    var parts: [String] = []
    if span != other.span { parts.append("\(span) → \(other.span)") }
    if group != other.group { parts.append("group \(group) → \(other.group)") }
    if state != other.state { parts.append("\(state) → \(other.state)") }
    if allowedRegions != other.allowedRegions {
      parts.append("regions \(regionsText) → \(other.regionsText)")
    }
    return parts.isEmpty ? "as before" : parts.joined(separator: ", ")
  }
}

extension DiffSummary {
  /// The groups and regions as `--json` writes them.
  var fields: [(name: String, value: JSON)] {
    [
      ("added", .number(added)), ("removed", .number(removed)), ("changed", .number(changed)),
      ("groups", .array(sortedGroups.map { .object([("group", JSON($0))] + $1.fields) })),
      (
        "regions",
        .array(sortedRegions.map { .object([("region", JSON($0?.name))] + $1.fields) })
      ),
    ]
  }

  var sortedGroups: [(GroupID, Tally)] { groups.sorted { $0.key < $1.key } }

  /// Those that may live anywhere come first.
  var sortedRegions: [(Region?, Tally)] {
    regions.sorted { ($0.key?.name ?? "") < ($1.key?.name ?? "") }
  }

  /// Tables of the sums by group and by region, for people.
  func text(style: TerminalStyle) -> String {
    var text = ""
    for (title, rows) in [
      ("GROUP", sortedGroups.map { ($0.description, $1) }),
      ("REGION", sortedRegions.map { ($0?.name ?? "any", $1) }),
    ] where !rows.isEmpty {
      var table = TextTable(
        .right(title), .right("ADDED"), .right("REMOVED"), .right("CHANGED"), .right("JOINED"),
        .right("LEFT"))
      for (name, tally) in rows {
        table.add(
          name, grouped(tally.added), grouped(tally.removed), grouped(tally.changed),
          grouped(tally.joined), grouped(tally.left))
      }
      text += "\n" + table.text(style: style)
    }
    return text
  }
}

extension DiffSummary.Tally {
  fileprivate var fields: [(name: String, value: JSON)] {
    [
      ("added", .number(added)), ("removed", .number(removed)), ("changed", .number(changed)),
      ("joined", .number(joined)), ("left", .number(left)),
    ]
  }
}

/// Text of the log without what would confuse a terminal.
func plainText(_ text: String) -> String { Key(unchecked: Array(text.utf8)).description }

/// A JSON document whose long list is written element by element, as it comes: fields, the list, more
/// fields.
final class StreamedDocument {
  private let list: String
  private var count = 0

  /// Begins with `fields`, which are followed by the list of this name.
  init(_ fields: [(name: String, value: JSON)], list: String) {
    self.list = list
    let head = String(JSON.object(fields).description.dropLast())
    StandardStream.output.write(
      head + (fields.isEmpty ? "" : ",") + JSON.string(list).description + ":[")
  }

  func add(_ element: JSON) {
    StandardStream.output.write((count > 0 ? "," : "") + element.description)
    count += 1
  }

  /// Ends the list and adds fields.
  func end(_ fields: [(name: String, value: JSON)] = []) {
    let tail = String(JSON.object(fields).description.dropFirst())
    StandardStream.output.writeLine("]" + (fields.isEmpty ? "" : ",") + tail)
  }
}

import Catalog

/// Writes entries of a log: a line each, and with `events` what they consist of.
struct EntryPrinter: Sendable {
  let json: Bool
  let events: Bool

  func write(_ entries: [EncodedEntry]) {
    for entry in entries { StandardStream.output.write(json ? line(json: entry) : text(entry)) }
    StandardStream.output.flush()
  }

  private func line(json encoded: EncodedEntry) -> String {
    let json = encoded.json
    guard events else { return json.description + "\n" }
    let list: JSON = ["events": .array(encoded.entry.events.map(\.json))]
    return json.adding(list).description + "\n"
  }

  private func text(_ encoded: EncodedEntry) -> String {
    let entry = encoded.entry
    let style = StandardStream.output.style
    var text = style.bold("\(entry.position)") + "  \(entry.time.text)  version \(entry.version)"
    text += "  \(entry.summary)  by \(plainText(entry.actor))"
    if !entry.reason.isEmpty { text += ": \(plainText(entry.reason))" }
    text += "\n"
    if events {
      for event in entry.events { text += "    \(event.text)\n" }
    }
    return text
  }
}

extension LogEntry {
  /// What the entry did, in a few words: `3 splits, 1 merge`.
  fileprivate var summary: String {
    var counts: [(kind: String, count: Int)] = []
    for event in events {
      if case .routesBootstrapped = event {
        counts.append((event.text, 0))
      } else if let index = counts.firstIndex(where: { $0.kind == event.kindText }) {
        counts[index].count += 1
      } else {
        counts.append((event.kindText, 1))
      }
    }
    return counts.map { kind, count in
      count == 0 ? kind : "\(grouped(count)) \(kind)\(count == 1 ? "" : "s")"
    }.joined(separator: ", ")
  }
}

extension EncodedEntry {
  /// The entry without its events, as `--json` writes it.
  var json: JSON {
    var fields: [(name: String, value: JSON)] = [
      ("position", JSON(entry.position)), ("version", JSON(entry.version)),
    ]
    fields += JSON.fields("time", entry.time)
    fields += [
      ("actor", .string(entry.actor)),
      ("reason", .string(entry.reason)),
      ("command_id", .string(entry.command.description)),
      ("hash", .string(hash.description)),
      ("previous", .string(entry.previous.description)),
      ("digest", .string(entry.digest.description)),
      ("event_count", JSON(entry.events.count)),
    ]
    return .object(fields)
  }
}

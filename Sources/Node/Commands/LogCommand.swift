import ArgumentParser
import Catalog
import Replay

struct LogCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log",
    abstract: "Print the entries of a log: who changed what, when and why.",
    discussion: """
      Oldest first. Works beside a server that writes the folder. With --json an entry is a line.

      Examples:
        cadastre log --log ./catalog
        cadastre log --from 40 --to 50 --events --json --log ./catalog
        cadastre log --follow --log ./catalog
      """)

  @Option(
    help: ArgumentHelp("Begin with this entry.", valueName: "position"), transform: parsePosition)
  var from: LogPosition?

  @Option(
    help: ArgumentHelp("End with this entry.", valueName: "position"), transform: parsePosition)
  var to: LogPosition?

  @Flag(help: "Print the events of each entry too.")
  var events = false

  @Flag(help: "Go on with new entries as they come, until Ctrl-C.")
  var follow = false

  @OptionGroup var folder: FolderOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if let from, let to, to < from { throw ValidationError("--to lies before --from") }
  }

  func run() async throws {
    let log = try EventLog.open(folder: try folder.folder(), mode: .readOnly)
    let first = try log.firstPosition()
    var next = max(from ?? first, LogPosition(1))
    let last = to ?? LogPosition(.max - 1)
    while next <= last {
      let entries = try log.entries(from: next, maxCount: 1000, maxBytes: 16 << 20)
      for entry in entries where entry.entry.position <= last {
        if Task.isCancelled { return }
        StandardStream.output.write(output.json ? line(json: entry) : text(entry))
      }
      StandardStream.output.flush()
      if let end = entries.last { next = end.entry.position.next }
      guard entries.isEmpty else { continue }
      guard follow else { return }
      do {
        try await Task.sleep(for: .milliseconds(100))
      } catch {
        return  // Ctrl-C is how following ends.
      }
    }
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
    text += "  \(entry.summary)  by \(quotedText(entry.actor))"
    if !entry.reason.isEmpty { text += ": \(quotedText(entry.reason))" }
    text += "\n"
    if events {
      for event in entry.events { text += "    \(event.text)\n" }
    }
    return text
  }

  /// Text of the log without what would confuse a terminal.
  private func quotedText(_ text: String) -> String { Key(unchecked: Array(text.utf8)).description }
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

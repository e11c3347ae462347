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
    let printer = EntryPrinter(json: output.json, events: events)
    while next <= last {
      let entries = try log.entries(from: next, maxCount: 1000, maxBytes: 16 << 20)
      if Task.isCancelled { return }
      printer.write(entries.filter { $0.entry.position <= last })
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
}

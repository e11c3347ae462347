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
        cadastre log --region tokyo --events --log ./catalog
        cadastre log --events --log ./catalog/regions/tokyo
      """)

  @Option(
    help: ArgumentHelp(
      "Print the stream of this region instead, which is in the folder too.", valueName: "name"),
    transform: parseRegion)
  var region: Region?

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
    let log = try open(try folder.folder())
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

  /// The catalog's log in the folder, or the stream of a region: in the folder beside it, or in its own.
  private func open(_ folder: String) throws(StoreError) -> EventLog {
    if let region {
      return try EventLog.open(
        folder: RegionEventLog.folder(of: region, in: folder), mode: .readOnly, region: region)
    }
    do throws(StoreError) {
      return try EventLog.open(folder: folder, mode: .readOnly)
    } catch .otherStream(_, nil, let found?) {
      guard let region = try? Region(found) else {
        throw .otherStream(folder: folder, expected: nil, found: found)
      }
      return try EventLog.open(folder: folder, mode: .readOnly, region: region)
    }
  }
}

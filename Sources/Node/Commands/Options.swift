import ArgumentParser
import CadastreClient
import Catalog
import Foundation
import StateMachines

/// How a command writes what it found.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Write JSON instead of tables, errors too (those to standard error).")
  var json = false

  /// Writes `json` where that was asked for, else `text`.
  func write(_ json: @autoclosure () -> JSON, else text: @autoclosure () -> String) {
    if self.json {
      StandardStream.output.writeLine(json().description)
    } else {
      StandardStream.output.write(text())
      StandardStream.output.flush()
    }
  }

  /// Writes a note for people to standard error; none with `--json`.
  func note(_ text: @autoclosure () -> String) {
    if !json { StandardStream.error.writeLine(text()) }
  }
}

/// Which catalog a command is about.
struct CatalogOptions: ParsableArguments {
  static let serverVariable = "CADASTRE_SERVER"
  static let logVariable = "CADASTRE_LOG"

  @Option(
    name: .customLong("log"),
    help: ArgumentHelp(
      "A log's folder, opened by this process.",
      discussion: "Default: $CADASTRE_LOG, where neither --log nor --server is given.",
      valueName: "dir"),
    transform: parsePath)
  var logFolder: String?

  @Option(
    help: ArgumentHelp(
      "A server to ask.",
      discussion: "Default: $CADASTRE_SERVER, where neither --log nor --server is given.",
      valueName: "host:port"),
    transform: parseAddress)
  var server: NodeAddress?

  @OptionGroup(title: "Security (with --server)") var security: ConnectionSecurityOptions

  mutating func validate() throws {
    if logFolder != nil, server != nil {
      throw ValidationError("--log and --server exclude each other: give one")
    }
  }

  enum Place: Hashable, Sendable {
    case folder(String)
    case server(NodeAddress, ConnectionOptions)
  }

  /// The place that was named, by option or else by environment, the server before the folder.
  func place(
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws -> Place {
    if let server { return .server(server, try security.connection()) }
    if let logFolder { return .folder(logFolder) }
    if let address = environment[Self.serverVariable], !address.isEmpty {
      return .server(try parseAddress(address), try security.connection())
    }
    if let folder = environment[Self.logVariable], !folder.isEmpty { return .folder(folder) }
    throw ValidationError(
      "no catalog is named: give --log DIR or --server HOST:PORT, or set \(Self.logVariable) or "
        + "\(Self.serverVariable)")
  }
}

/// A log's folder, for commands that need the log itself.
struct FolderOptions: ParsableArguments {
  @Option(
    name: .customLong("log"),
    help: ArgumentHelp("The log's folder. Default: $CADASTRE_LOG.", valueName: "dir"),
    transform: parsePath)
  var logFolder: String?

  func folder(environment: [String: String] = ProcessInfo.processInfo.environment) throws -> String
  {
    if let logFolder { return logFolder }
    if let folder = environment[CatalogOptions.logVariable], !folder.isEmpty { return folder }
    throw ValidationError("no log is named: give --log DIR, or set \(CatalogOptions.logVariable)")
  }
}

/// Which routes are meant; all where nothing is given.
struct SelectorOptions: ParsableArguments {
  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "The routes that overlap a span: its first key, and the first key past it.",
      discussion: "With one key, the span reaches to the end of the keyspace.", valueName: "key"),
    transform: parseKey)
  var span: [Key] = []

  @Option(
    help: ArgumentHelp("The routes of a group, by id.", valueName: "id"), transform: parseGroupID)
  var group: GroupID?

  @Option(
    name: .customLong("id"), help: ArgumentHelp("The route with this id.", valueName: "id"),
    transform: parseRouteID)
  var ids: [RouteID] = []

  func validate() throws {
    let selectors = [!span.isEmpty, group != nil, !ids.isEmpty].filter { $0 }.count
    if selectors > 1 { throw ValidationError("--span, --group and --id exclude each other") }
    _ = try selector()
  }

  var isEmpty: Bool { span.isEmpty && group == nil && ids.isEmpty }

  func selector() throws -> RouteSelector {
    if !ids.isEmpty { return .ids(ids) }
    if let group { return .group(group) }
    return .span(try parseSpan(span))
  }
}

/// What a read demands of the state that answers it.
struct ReadOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Answer from this catalog version or a later one.",
      discussion: "Pass on the version that a write printed, to read your own write anywhere.",
      valueName: "version"),
    transform: parseVersion)
  var minVersion: CatalogVersion?

  @Option(
    help: ArgumentHelp(
      "Answer from a state that was the leader's newest at most so long ago, as 500ms or 3s.",
      valueName: "duration"),
    transform: parseDuration)
  var maxStaleness: Duration?
}

/// What every write has.
struct WriteOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The command's own id, 32 hexadecimal digits.",
      discussion:
        "A command that is sent again under its id is carried out once. Default: a random one.",
      valueName: "hex"),
    transform: parseCommandID)
  var commandID: CommandID?

  @Option(
    help: ArgumentHelp(
      "Refuse when a named route changed after this version.", valueName: "version"),
    transform: parseVersion)
  var expectedVersion: CatalogVersion?

  @Option(
    help: ArgumentHelp(
      "In whose name: a region and its epoch, as eu-west/2.",
      discussion: "Refused when the region was lost since that epoch.", valueName: "region/epoch"),
    transform: parseOrigin)
  var origin: RegionOrigin?

  @OptionGroup var author: AuthorOptions

  /// The command that makes `change`.
  func command(_ change: RouteChange) throws -> Command {
    Command(
      id: commandID ?? .random(), expectedVersion: expectedVersion, origin: origin,
      actor: author.actorOrUser, reason: author.reason, change: change)
  }
}

/// Who changes the catalog, and why: kept in the log.
struct AuthorOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Who asks; kept in the log. Default: $USER.", valueName: "name"))
  var actor: String?

  @Option(help: ArgumentHelp("Why; kept in the log.", valueName: "text"))
  var reason = ""

  mutating func validate() throws {
    for (name, text) in [("--actor", actor ?? ""), ("--reason", reason)]
    where text.utf8.count > LogEntry.maximumTextByteCount {
      throw ValidationError(
        "\(name) has \(text.utf8.count) bytes: at most \(LogEntry.maximumTextByteCount) are kept")
    }
  }

  var actorOrUser: String {
    if let actor { return actor }
    let process = ProcessInfo.processInfo
    let user = process.environment["USER"].flatMap { $0.isEmpty ? nil : $0 } ?? process.userName
    // A character has at most four bytes, but for accents piled up on one.
    let name = String(
      user.unicodeScalars.prefix(LogEntry.maximumTextByteCount / 4).map(Character.init))
    return name.isEmpty ? "unknown" : name
  }
}

extension CommandID {
  /// An id that nobody else draws.
  static func random() -> CommandID {
    var generator = SystemRandomNumberGenerator()
    var bytes: [UInt8] = []
    while bytes.count < byteCount { bytes.append(.random(in: .min ... .max, using: &generator)) }
    return CommandID(bytes: bytes) ?? .random()
  }
}

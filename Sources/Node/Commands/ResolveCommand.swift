import ArgumentParser
import CadastreClient
import Catalog

struct ResolveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resolve",
    abstract: "Say which route and group own keys.",
    discussion: """
      A single - reads the keys from standard input, one a line (before a tab). All keys are \
      answered from one version of the catalog; only more than 10,000 for a server go in batches, \
      each answered from the version of the one before it or a later one, and the answer says so.

      Examples:
        cadastre resolve usr/bin/env --log ./catalog
        cadastre resolve apple zebra --min-version 42 --max-staleness 500ms --server host:4711
        zcat keys.tsv.gz | cadastre resolve - --json --server host:4711
      """)

  @Argument(help: ArgumentHelp("The keys; - for standard input.", valueName: "key"))
  var keys: [String]

  @Flag(
    help: "Keys on standard input use the escapes \\xNN and \\\\; else their bytes are the key.")
  var escaped = false

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var read: ReadOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard keys != ["-"] else { return }
    for (index, key) in keys.enumerated() {
      do {
        _ = try Key(text: key)
      } catch {
        throw ValidationError("key \(index + 1) is none: \(error)")
      }
    }
  }

  func run() async throws {
    let wanted: [Key]
    if keys == ["-"] {
      let list = try KeyFileReader.read(path: "-", escaped: escaped).keys
      wanted = (0..<list.count).map(list.key(at:))
    } else {
      wanted = try keys.map(parseKey)
    }
    guard !wanted.isEmpty else {
      throw Problem(.usage, code: "bad-input", "there are no keys to resolve", help: "give some")
    }
    let demand = read.demand
    let place = try catalog.place()
    let answer = try await catalog.withReader {
      try await $0.resolve(wanted, demand: demand)
    }
    output.write(Self.json(wanted, answer), else: Self.text(wanted, answer, place))
  }

  private static func json(_ keys: [Key], _ answer: ResolvedKeys) -> JSON {
    let found = zip(keys, answer.routes).map { key, route -> JSON in
      .object(JSON.fields("key", key) + [("route", route.json)])
    }
    return .object(
      answer.stamp.fields + [
        ("first_version", JSON(answer.firstVersion)), ("keys", .array(found)),
      ])
  }

  private static func text(
    _ keys: [Key], _ answer: ResolvedKeys, _ place: CatalogOptions.Place
  ) -> String {
    var table = TextTable(
      .left("KEY"), .right("ROUTE"), .right("GROUP"), .left("STATE"), .left("START"), .left("END"))
    for (key, route) in zip(keys, answer.routes) {
      table.add(
        quoted(key), route.id.description, route.group.description, route.state.description,
        quoted(route.span.lower), route.span.upper.map(quoted) ?? "∞")
    }
    return table.text(style: StandardStream.output.style) + answer.versionText(at: place) + "\n"
  }
}

extension ResolvedKeys {
  /// Which versions the answer comes from, for people.
  fileprivate func versionText(at place: CatalogOptions.Place) -> String {
    guard firstVersion < stamp.version else { return stamp.text(at: place) }
    return "the first batch at version \(firstVersion), the last at version \(stamp.version)"
      + stamp.suffix(at: place)
  }
}

extension ReadStamp {
  /// The stamp for people, of an answer from `place`.
  func text(at place: CatalogOptions.Place) -> String {
    "at version \(version)" + suffix(at: place)
  }

  /// How stale the answer is, behind a comma; nothing where it is not, or at a folder, which cannot
  /// know.
  fileprivate func suffix(at place: CatalogOptions.Place) -> String {
    switch (staleness, place) {
    case (.some(.zero), _), (nil, .folder): ""
    case (.some(let staleness), _):
      ", \(Int((staleness.inSeconds * 1000).rounded())) ms stale at most"
    case (nil, .server): ", staleness unknown"
    }
  }
}

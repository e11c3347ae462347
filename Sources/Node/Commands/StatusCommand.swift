import ArgumentParser
import Catalog

struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Say how far a catalog has come, here or at a server.",
    discussion: """
      Two nodes that show the same version show the same digest, or one of them is wrong.

      Examples:
        cadastre status --log ./catalog
        cadastre status --json --server host:4711
      """)

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let status = try await catalog.withReader(acceptsDamage: true) { try await $0.status() }
    output.write(status.json, else: status.text(style: StandardStream.output.style))
    if let condition = status.condition { output.note("warning: \(condition)") }
    for warning in status.warnings { output.note("warning: \(warning)") }
  }
}

extension CatalogStatus {
  /// The status as `--json` writes it.
  var json: JSON {
    var fields: [(name: String, value: JSON)] = [
      ("catalog", .string(catalog.description)),
      ("version", JSON(version)),
      ("position", JSON(position)),
      ("first_position", JSON(firstPosition)),
      ("routes", .number(routeCount)),
      ("digest", .string(digest.description)),
      ("head_hash", .string(headHash.description)),
      // Where the log is not whole, no entry vouches for all of the last one that can be read.
      ("head_proven", .bool(condition == nil)),
    ]
    fields += JSON.fields("last_time", lastTime)
    fields.append(("condition", JSON(condition)))
    fields.append(("warnings", .array(warnings.map { .string($0) })))
    return .object(fields + more.map { ($0.name, $0.value) })
  }

  /// The status for people.
  func text(style: TerminalStyle) -> String {
    var facts = FactList()
    facts.add("catalog", catalog)
    facts.add("version", version)
    facts.add("position", "\(position) (the log starts at \(firstPosition))")
    facts.add("last change", position == .zero ? "none yet" : lastTime.text + " UTC")
    facts.add("routes", grouped(routeCount))
    facts.add("digest", digest)
    facts.add(
      "head hash",
      condition == nil
        ? "\(headHash)" : "\(headHash), unproven: no later entry vouches for who made it, and why")
    if let condition { facts.add("condition", condition) }
    for warning in warnings { facts.add("warning", warning) }
    for fact in more { facts.add(fact.label, fact.text) }
    return facts.text(style: style)
  }
}

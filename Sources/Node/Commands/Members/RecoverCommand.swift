import ArgumentParser
import CadastreClient
import Catalog
import Foundation
import StateMachines

/// Brings a lost region's routes back.
struct RecoverCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recover",
    abstract: "Bring the routes of a lost region back: plan, look, apply; and let it return.",
    discussion: """
      A plan says which routes go to which groups and regions, in which order, and what may be \
      lost; making one changes nothing. Applying it is fenced by the region's epoch, and goes on \
      where it was when it is run again.

      Examples:
        cadastre recover plan --region asia --out plan.json --server host:4711
        cadastre recover apply plan.json --server host:4711
        cadastre recover return --region asia --server host:4711
      """,
    subcommands: [
      RecoverPlanCommand.self, RecoverApplyCommand.self, RecoverSweepCommand.self,
      RecoverReturnCommand.self,
    ])
}

struct RecoverPlanCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan", abstract: "Plan the promotion of a lost region's routes; changes nothing.")

  @Option(help: ArgumentHelp("The lost region.", valueName: "name"), transform: parseRegion)
  var region: Region

  @Option(
    help: ArgumentHelp("Write the plan to this file.", valueName: "file"), transform: parsePath)
  var out: String?

  @Option(
    name: .customLong("from"),
    help: ArgumentHelp("Only routes from this key on.", valueName: "key"), transform: parseKey)
  var lower: Key?

  @Option(
    name: .customLong("to"), help: ArgumentHelp("Only routes up to this key.", valueName: "key"),
    transform: parseKey)
  var upper: Key?

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if let upper, upper <= lower ?? .least { throw ValidationError("--to must come after --from") }
  }

  func run() async throws {
    let state = try await catalog.state()
    let span = lower ?? .least
    let spans = lower == nil && upper == nil ? nil : [KeySpan(unchecked: span, upper)]
    let plan: RecoveryPlan
    do {
      let stream = try await catalog.extent(of: region, by: state)
      plan = try state.recoveryPlan(for: region, within: spans, stream: stream)
    } catch let error as MembershipRefusal {
      throw Problem(NodeError(.membership(error), current: state.version))
    }
    let file = PlanFile(plan)
    if let out {
      do {
        try Data((file.json.description + "\n").utf8)
          .write(to: URL(fileURLWithPath: out), options: .atomic)
      } catch {
        throw Problem(.failed, code: "failed", "\(out): \(Problem.reason(of: error))")
      }
    }
    output.write(file.json, else: text(of: plan))
  }

  private func text(of plan: RecoveryPlan) -> String {
    var table = TextTable(
      .right("step"), .right("from group"), .right("to group"), .left("in"), .right("routes"))
    for (index, step) in plan.steps.enumerated() {
      for move in step {
        table.add(
          "\(index)", "\(move.from)", "\(move.to)", move.region?.name ?? "", grouped(move.count))
      }
    }
    var text = table.text(style: StandardStream.output.style)
    text +=
      "\nplan \(plan.name) for region \(plan.region), epoch \(plan.epoch), made from version "
      + "\(plan.version): \(grouped(plan.routeCount)) routes in \(plan.steps.count) steps\n"
    if plan.strandedCount > 0 {
      text +=
        "no group to go to for \(grouped(plan.strandedCount)) routes, such as "
        + plan.stranded.prefix(8).map { "\($0.route)" }.joined(separator: ", ")
        + ": give groups homes where they are allowed\n"
    }
    for stream in plan.streams {
      text += "may be lost of the stream \"\(stream.name)\": what came after "
      if let position = stream.position, let time = stream.time {
        text += "entry \(position) of \(time.text) UTC"
        if let heard = stream.heard, heard > position {
          text += ", entries \(position.next) to \(heard) and later ones"
        }
        text += "\n"
      } else {
        text += "its beginning: nothing of it is known here\n"
      }
    }
    return text
  }
}

struct RecoverApplyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apply",
    abstract: "Carry a recovery plan out, step by step; run again, it goes on where it was.")

  @Argument(help: ArgumentHelp("The plan's file.", valueName: "plan"), transform: parsePath)
  var path: String

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var author: AuthorOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let plan = try PlanFile(path: path).plan
    let name = plan.name
    let bar = ProgressBar("promoting", unit: "routes", total: UInt64(plan.routeCount))
    let author = author
    let found: CatalogID = try await catalog.withReader { try await $0.status().catalog }
    guard found == plan.catalog else {
      throw Problem(
        .refused, code: "other-catalog", "the plan is for catalog \(plan.catalog), not \(found)",
        help: "name the catalog that it was made for")
    }
    let outcome = try await catalog.withWriter { writer in
      var outcome = (appended: 0, version: plan.version, routes: 0)
      for index in plan.steps.indices {
        try Task.checkCancellation()
        let receipt = try await writer.submit(
          .promote(plan.step(index, named: name)), by: author)
        outcome.version = receipt.version
        if receipt.outcome == .appended {
          outcome.appended += 1
          outcome.routes += plan.steps[index].reduce(0) { $0 + $1.count }
        }
        bar.update(UInt64(outcome.routes))
      }
      return outcome
    }
    bar.finish()
    output.write(
      [
        "plan": .string(name.description), "steps": JSON(plan.steps.count),
        "applied": JSON(outcome.appended), "promoted": JSON(outcome.routes),
        "version": JSON(outcome.version),
      ],
      else: "\(grouped(outcome.routes)) routes promoted in \(outcome.appended) of "
        + "\(plan.steps.count) steps (the others were done before); version \(outcome.version)\n")
  }
}

struct RecoverSweepCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sweep",
    abstract: "Go through the routes of a lost or returning region; a leading node does it itself.")

  @OptionGroup var options: RegionChangeOptions

  func run() async throws {
    let record = try await sweep(options)
    options.output.write(record.sweepJSON, else: record.sweepText)
  }
}

struct RecoverReturnCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "return",
    abstract: "Let a lost region return: promoted routes stay where they are, the rest is active.")

  @OptionGroup var options: RegionChangeOptions

  func run() async throws {
    let (region, author) = (options.region, options.author)
    _ = try await options.catalog.withWriter { writer in
      try await writer.submit(.beginReturn(region), by: author)
    }
    let record = try await sweep(options)
    options.output.write(record.sweepJSON, else: record.sweepText)
  }
}

/// What a command has that changes something about a lost region.
struct RegionChangeOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The region.", valueName: "name"), transform: parseRegion)
  var region: Region

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var author: AuthorOptions
  @OptionGroup var output: OutputOptions
}

/// Goes through all routes of a region that are left.
private func sweep(_ options: RegionChangeOptions) async throws -> RegionStanding {
  let (region, catalog, author) = (options.region, options.catalog, options.author)
  func record() async throws -> RegionStanding {
    let overview = try await catalog.membershipOverview()
    guard let record = overview.regions.first(where: { $0.region == region }) else {
      throw Problem(
        NodeError(.membership(.noSuchRegion(region)), current: overview.version))
    }
    return record
  }
  let found = try await record()
  guard found.status.isFenced, !found.sweep.isDone else { return found }
  _ = try await catalog.withWriter { writer in
    while true {
      try Task.checkCancellation()
      let receipt = try await writer.submit(
        .sweep(region, epoch: found.epoch, limit: 50_000), by: author)
      // The last slice leaves nothing to do.
      guard receipt.outcome == .appended else { return receipt }
    }
  }
  return try await record()
}

extension RegionStanding {
  fileprivate var sweepJSON: JSON {
    [
      "region": .string(region.name), "status": .string(status.description),
      "epoch": .number(epoch), "failed": .number(failed), "promoted": .number(promoted),
      "returned": .number(returned),
    ]
  }

  fileprivate var sweepText: String {
    "region \(region) is \(status), epoch \(epoch): \(grouped(failed)) routes soft-failed, "
      + "\(grouped(promoted)) promoted elsewhere, \(grouped(returned)) given back\n"
  }
}

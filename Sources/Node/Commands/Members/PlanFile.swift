import Catalog
import Foundation
import StateMachines

/// A recovery plan as a file: JSON, for people to read before it runs, and for `recover apply`.
struct PlanFile {
  let plan: RecoveryPlan

  /// The plan as JSON.
  var json: JSON {
    let steps = plan.steps.map { step -> JSON in
      .array(
        step.map { move -> JSON in
          [
            "from_group": JSON(move.from), "to_group": JSON(move.to),
            "to_region": JSON(move.region?.name), "count": JSON(move.count),
            "routes": .array(
              move.routes.map { .array([.number($0.lowerBound), .number($0.upperBound)]) }),
          ]
        })
    }
    let stranded = plan.stranded.map { route -> JSON in
      [
        "route": JSON(route.route),
        "allowed_regions": .array(route.allowed.map { .string($0.name) }),
      ]
    }
    let streams = plan.streams.map { stream -> JSON in
      [
        "stream": .string(stream.name), "known_through": JSON(stream.position?.rawValue),
        "lost_from": JSON(stream.position?.next.rawValue ?? 1),
        "heard_of_through": JSON(stream.heard?.rawValue),
        "known_until_ms": JSON(stream.time?.milliseconds),
        "known_until_counter": JSON(stream.time.map { UInt64($0.counter) }),
      ]
    }
    return [
      "cadastre_plan": .number(RecoveryPlan.format), "plan": .string(plan.name.description),
      "catalog": .string(plan.catalog.description), "region": .string(plan.region.name),
      "epoch": .number(plan.epoch),
      "made_from": [
        "version": JSON(plan.version), "position": JSON(plan.position),
        "hash": .string(plan.hash.description), "digest": .string(plan.digest.description),
      ],
      "routes": JSON(plan.routeCount), "steps": .array(steps),
      "stranded": ["count": .number(plan.strandedCount), "routes": .array(stranded)],
      "may_be_lost": .array(streams),
    ]
  }

  init(_ plan: RecoveryPlan) { self.plan = plan }

  /// Reads a plan. That it is the one which was made, its name shows.
  ///
  /// - Throws: ``Problem`` when the file is no plan, or was changed.
  init(path: String) throws {
    let data: Data
    do {
      data = try Data(contentsOf: URL(fileURLWithPath: path))
    } catch {
      throw Problem(.notFound, code: "no-plan", "\(path): \(Problem.reason(of: error))")
    }
    let file: Form
    do {
      file = try JSONDecoder().decode(Form.self, from: data)
    } catch {
      throw Problem(
        .usage, code: "malformed-plan", "\(path) is no recovery plan",
        help: "make one with cadastre recover plan --region REGION --out FILE")
    }
    guard file.cadastre_plan <= RecoveryPlan.format else {
      throw Problem(
        .usage, code: "newer-format",
        "\(path) has format \(file.cadastre_plan), and \(RecoveryPlan.format) is the newest known here",
        help: "use the release that made it, or a later one")
    }
    guard let plan = file.made(), plan.name.description == file.plan else {
      throw Problem(
        .usage, code: "changed-plan", "\(path) is not the plan that was made: it was changed",
        help: "make a new one with cadastre recover plan; restrict it with --within")
    }
    self.plan = plan
  }

  // The names are those of the file's fields.
  private struct Form: Decodable {
    struct Origin: Decodable {
      var version: UInt64
      var position: UInt64
      var hash: String
      var digest: String
    }
    struct Move: Decodable {
      var from_group: UInt64
      var to_group: UInt64
      var to_region: String?
      var routes: [[UInt64]]
    }

    var cadastre_plan: UInt64
    var plan: String
    var catalog: String
    var region: String
    var epoch: UInt64
    var made_from: Origin
    var steps: [[Move]]

    func made() -> RecoveryPlan? {
      guard let catalog = CatalogID(hexadecimal: catalog), let region = try? Region(region),
        let hash = EntryHash(hexadecimal: made_from.hash),
        let digest = StateDigest(hexadecimal: made_from.digest)
      else { return nil }
      var made: [[RecoveryPlan.Move]] = []
      for step in steps {
        var moves: [RecoveryPlan.Move] = []
        for move in step {
          var runs: [ClosedRange<UInt64>] = []
          for run in move.routes {
            guard run.count == 2, run[0] <= run[1], run[1] - run[0] < 1 << 20 else { return nil }
            runs.append(run[0]...run[1])
          }
          moves.append(
            RecoveryPlan.Move(
              from: GroupID(move.from_group), to: GroupID(move.to_group),
              region: move.to_region.flatMap { try? Region($0) }, routes: runs))
        }
        guard moves.reduce(0, { $0 + $1.count }) <= RouteChange.maximumCount else { return nil }
        made.append(moves)
      }
      return RecoveryPlan(
        catalog: catalog, region: region, epoch: epoch,
        version: CatalogVersion(made_from.version), position: LogPosition(made_from.position),
        hash: hash, digest: digest, steps: made, stranded: [], strandedCount: 0, streams: [])
    }
  }
}

import Glibc
import Simulation

/// Runs the world from many seeds, and says how to see a failure again.
@main
struct Simulate {
  static let usage = """
    usage: simulate [--seeds COUNT] [--first SEED] [--seed SEED] [--world WORLD] [--without GUARD]
                    [--twice]

      --seeds COUNT    how many seeds, 100
      --first SEED     the first of them, 1
      --seed SEED      this one alone, with what went wrong in it
      --world WORLD    catalog: the catalog's stream alone; regions: those of regions; else both
      --without GUARD  leave a guard out (debug builds, for some). Of the catalog: \
    \(SimulatedGuard.allCases.map(\.rawValue).joined(separator: ", ")). Of regions, with \
    --world regions: \(RegionGuard.allCases.map(\.rawValue).joined(separator: ", "))
      --twice          run each seed twice and compare the digests
    """

  /// One of the worlds that a seed makes.
  private enum WorldKind: String, CaseIterable {
    case catalog, regions
  }

  /// A run in either world.
  private struct Run {
    var digest: UInt64
    var violation: Violation?
    var statistics: Statistics
    var issued = 0
    var time: Duration
    var faults: String

    init(_ world: WorldKind, seed: UInt64, without guards: [String]) {
      switch world {
      case .catalog:
        let absent = Set(guards.compactMap(SimulatedGuard.init(rawValue:)))
        let outcome = Simulation(seed: seed, without: absent).run()
        digest = outcome.digest
        violation = outcome.violation
        statistics = outcome.statistics
        time = outcome.time
        faults = outcome.faults
      case .regions:
        let absent = Set(guards.compactMap(RegionGuard.init(rawValue:)))
        guard let outcome = try? RegionSimulation(seed: seed, without: absent).run() else {
          stop("the world of regions cannot be made")
        }
        digest = outcome.digest
        violation = outcome.violation
        statistics = outcome.statistics
        issued = outcome.issued
        time = outcome.time
        faults = outcome.faults
      }
    }
  }

  static func main() {
    var (first, count, isTwice) = (UInt64(1), UInt64(100), false)
    var guards: [String] = []
    var worlds = WorldKind.allCases
    var arguments = CommandLine.arguments.dropFirst()
    while let argument = arguments.popFirst() {
      switch argument {
      case "--seeds": count = number(arguments.popFirst())
      case "--first": first = number(arguments.popFirst())
      case "--seed": (first, count) = (number(arguments.popFirst()), 1)
      case "--world":
        guard let world = arguments.popFirst().flatMap(WorldKind.init(rawValue:)) else {
          stop("--world names no world")
        }
        worlds = [world]
      case "--without":
        guard let name = arguments.popFirst() else { stop("--without names no guard") }
        guards.append(name)
      case "--twice": isTwice = true
      default: stop("unknown argument \(argument)")
      }
    }
    guard count > 0, first <= .max - count else { stop("there are not so many seeds") }
    if !guards.isEmpty, worlds.count > 1 { worlds = [.catalog] }
    for name in guards {
      let isKnown =
        worlds == [.regions]
        ? RegionGuard(rawValue: name) != nil : SimulatedGuard(rawValue: name) != nil
      guard isKnown else { stop("--without names no guard of that world: \(name)") }
    }
    run(first..<(first + count), in: worlds, without: guards, isTwice: isTwice)
  }

  private static func run(
    _ seeds: Range<UInt64>, in worlds: [WorldKind], without guards: [String], isTwice: Bool
  ) {
    let clock = ContinuousClock()
    let start = clock.now
    var total = Statistics()
    var (time, failures, issued) = (Duration.zero, 0, 0)
    for seed in seeds {
      for world in worlds {
        let outcome = Run(world, seed: seed, without: guards)
        total += outcome.statistics
        time += outcome.time
        issued += outcome.issued
        if isTwice, Run(world, seed: seed, without: guards).digest != outcome.digest {
          failures += 1
          print("seed \(seed), \(world): two runs differ")
        }
        if seeds.count == 1 {
          print("seed \(seed), \(world): digest \(outcome.digest), faults: \(outcome.faults)")
        }
        guard let violation = outcome.violation else { continue }
        failures += 1
        print(
          """
          seed \(seed), \(world): after \(outcome.time): \(violation)
            faults: \(outcome.faults)
            again: \(again(seed, world, without: guards))
          """)
      }
    }
    let seconds = (clock.now - start) / .seconds(1)
    print(
      """
      \(seeds.count) seeds, \(failures) failed; \(total.steps) steps, \
      \(Int(Double(total.steps) / seconds)) a second; \(time / .seconds(3600)) simulated hours in \
      \(seconds) s
      \(total.acknowledged) commands acknowledged, \(total.answers) reads answered, \
      \(total.updates) versions seen by routers, \(issued) times timestamps issued, \
      \(total.crashes) crashes, \(total.damagedStarts) damaged logs, \(total.reconnects) reconnects, \
      \(total.installs) states taken over
      """)
    exit(failures == 0 ? 0 : 1)
  }

  /// The command that shows a run again.
  private static func again(
    _ seed: UInt64, _ world: WorldKind, without guards: [String]
  ) -> String {
    guard !guards.isEmpty else { return "make simulate SEEDS=1 FIRST=\(seed)" }
    // Release builds leave out no guard of the production code.
    let absent = guards.map { " --without \($0)" }.sorted().joined()
    return "CADASTRE_CORE=1 swift run --scratch-path .build/core simulate --seed \(seed) "
      + "--world \(world)\(absent)"
  }

  private static func number(_ text: String?) -> UInt64 {
    guard let text, let number = UInt64(text) else { stop("a number is missing") }
    return number
  }

  private static func stop(_ problem: String) -> Never {
    print("simulate: \(problem)\n\(usage)")
    exit(2)
  }
}

import Glibc
import Simulation

/// Runs the world from many seeds, and says how to see a failure again.
@main
struct Simulate {
  static let usage = """
    usage: simulate [--seeds COUNT] [--first SEED] [--seed SEED] [--without GUARD] [--twice]

      --seeds COUNT    how many seeds, 100
      --first SEED     the first of them, 1
      --seed SEED      this one alone, with what went wrong in it
      --without GUARD  leave a guard out (debug builds, for some): \
    \(SimulatedGuard.allCases.map(\.rawValue).joined(separator: ", "))
      --twice          run each seed twice and compare the digests
    """

  static func main() {
    var (first, count, isTwice) = (UInt64(1), UInt64(100), false)
    var absent: Set<SimulatedGuard> = []
    var arguments = CommandLine.arguments.dropFirst()
    while let argument = arguments.popFirst() {
      switch argument {
      case "--seeds": count = number(arguments.popFirst())
      case "--first": first = number(arguments.popFirst())
      case "--seed": (first, count) = (number(arguments.popFirst()), 1)
      case "--without":
        guard let name = arguments.popFirst(), let one = SimulatedGuard(rawValue: name) else {
          stop("--without names no guard")
        }
        absent.insert(one)
      case "--twice": isTwice = true
      default: stop("unknown argument \(argument)")
      }
    }
    guard count > 0, first <= .max - count else { stop("there are not so many seeds") }
    run(first..<(first + count), without: absent, isTwice: isTwice)
  }

  private static func run(
    _ seeds: Range<UInt64>, without absent: Set<SimulatedGuard>, isTwice: Bool
  ) {
    let clock = ContinuousClock()
    let start = clock.now
    var total = Statistics()
    var time = Duration.zero
    var failures = 0
    for seed in seeds {
      let outcome = Simulation(seed: seed, without: absent).run()
      total += outcome.statistics
      time += outcome.time
      if isTwice, Simulation(seed: seed, without: absent).run().digest != outcome.digest {
        failures += 1
        print("seed \(seed): two runs differ")
      }
      if seeds.count == 1 {
        print("seed \(seed): digest \(outcome.digest), faults: \(outcome.faults)")
      }
      guard let violation = outcome.violation else { continue }
      failures += 1
      print(
        """
        seed \(seed): after \(outcome.time): \(violation)
          faults: \(outcome.faults)
          again: \(again(seed, without: absent))
        """)
    }
    let seconds = (clock.now - start) / .seconds(1)
    print(
      """
      \(seeds.count) seeds, \(failures) failed; \(total.steps) steps, \
      \(Int(Double(total.steps) / seconds)) a second; \(time / .seconds(3600)) simulated hours in \
      \(seconds) s
      \(total.acknowledged) commands acknowledged, \(total.answers) reads answered, \
      \(total.updates) versions seen by routers, \(total.crashes) crashes, \
      \(total.damagedStarts) damaged logs, \(total.reconnects) reconnects, \(total.installs) states \
      taken over
      """)
    exit(failures == 0 ? 0 : 1)
  }

  /// The command that shows a run again.
  private static func again(_ seed: UInt64, without absent: Set<SimulatedGuard>) -> String {
    guard !absent.isEmpty else { return "make simulate SEEDS=1 FIRST=\(seed)" }
    // Release builds leave out no guard of the production code.
    let guards = absent.map { " --without \($0.rawValue)" }.sorted().joined()
    return "CADASTRE_CORE=1 swift run --scratch-path .build/core simulate --seed \(seed)\(guards)"
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

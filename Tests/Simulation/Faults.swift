import TestSupport

/// What goes wrong in a run, and how often. A swarm: each run draws which faults it has, so that
/// one kind does not hide what another would show.
struct Faults {
  // Of messages: how many times in a thousand.
  var losses = 0
  var doubles = 0
  var delays = 0
  /// To messages that carry entries, or states.
  var wireDamage = 0
  // How often in a minute, about.
  var crashes = 0
  var cuts = 0
  var clockFaults = 0
  var fullDisks = 0
  var diskDamage = 0
  var trims = 0
  /// About how many bytes a message of entries has: what is longer comes in parts.
  var messageByteCount = 2_000
  /// Whether syncs take long now and then.
  var slowDisks = false
  /// The greatest drift of a clock, either way.
  var drift = 0.0

  static let none = Faults()

  static func draw(using generator: inout SeededGenerator) -> Faults {
    func some(_ range: ClosedRange<Int>) -> Int {
      generator.oneIn(2) ? Int.random(in: range, using: &generator) : 0
    }
    var faults = Faults()
    faults.losses = some(1...60)
    faults.doubles = some(1...100)
    faults.delays = some(1...60)
    faults.wireDamage = some(1...200)
    faults.crashes = some(4...40)
    faults.cuts = some(1...15)
    faults.clockFaults = some(1...20)
    faults.fullDisks = some(1...6)
    faults.diskDamage = some(2...12)
    faults.trims = some(4...40)
    faults.messageByteCount = generator.oneIn(2) ? 2_000 : 300
    faults.slowDisks = generator.oneIn(2)
    faults.drift = generator.oneIn(2) ? 0.0005 : 0
    return faults
  }
}

extension Faults: CustomStringConvertible {
  /// What there is, for people.
  var description: String {
    let counts = [
      ("losses", losses), ("doubles", doubles), ("delays", delays), ("wire damage", wireDamage),
      ("crashes", crashes), ("cuts", cuts), ("clock faults", clockFaults),
      ("full disks", fullDisks), ("disk damage", diskDamage), ("trims", trims),
    ]
    var parts = counts.filter { $0.1 > 0 }.map { "\($0.0) \($0.1)" }
    if slowDisks { parts.append("slow disks") }
    if drift > 0 { parts.append("drift") }
    return parts.isEmpty ? "none" : parts.joined(separator: ", ")
  }
}

import Foundation

/// SplitMix64: small, fast, and the same numbers from the same seed everywhere.
///
/// See Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*, 2014.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// True once in `count` times.
  package mutating func oneIn(_ count: Int) -> Bool {
    Int.random(in: 0..<count, using: &self) == 0
  }
}

/// The seeds that a property test runs: the one in `CADASTRE_SEED`, decimal or `0x` hexadecimal,
/// or else 1 up to `count`, so that a plain run repeats itself.
///
/// A test shows its seed when it fails, which is what to put into `CADASTRE_SEED`.
package func testSeeds(count: Int) -> [UInt64] {
  guard let text = ProcessInfo.processInfo.environment["CADASTRE_SEED"] else {
    return (0..<count).map { UInt64($0) + 1 }
  }
  let seed = text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
  guard let seed else { preconditionFailure("CADASTRE_SEED=\(text) is no number") }
  return [seed]
}

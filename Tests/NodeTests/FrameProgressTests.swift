import TestSupport
import Testing

@testable import Node

@Suite struct FrameProgressTests {
  /// The preface, then frames of random kinds and lengths, heads in several of them; and after how many
  /// bytes nothing is unfinished.
  private func session(_ generator: inout SeededGenerator) -> ([UInt8], Set<Int>) {
    var (bytes, between) = (Frames.preface, Set<Int>())
    var isInHead = false
    for _ in 0..<Int.random(in: 1...12, using: &generator) {
      let lengths = [0, 1, 8, 255, 256, 70_000]
      let payload = [UInt8](
        repeating: 4, count: lengths[Int.random(in: 0..<lengths.count, using: &generator)])
      let flags: UInt8 = generator.oneIn(2) ? 4 : 3
      let kind: Frames.Kind
      if isInHead {
        kind = .continuation
      } else {
        kind =
          generator.oneIn(3)
          ? .headers : [.data, .settings, .ping][Int.random(in: 0..<3, using: &generator)]
      }
      if kind == .headers || kind == .continuation { isInHead = flags != 4 }
      bytes += Frames.frame(kind, flags: flags, stream: 1, payload)
      if !isInHead { between.insert(bytes.count) }
    }
    return (bytes, between)
  }

  @Test(arguments: testSeeds(count: 20))
  func knowsWhereItIsHoweverTheBytesCome(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let (bytes, between) = session(&generator)
    var progress = FrameProgress()
    var index = 0
    while index < bytes.count {
      let count = generator.oneIn(2) ? 1 : Int.random(in: 1...90_000, using: &generator)
      let end = min(bytes.count, index + count)
      let hasEnded = bytes[index..<end].withUnsafeBytes { progress.take($0) }
      #expect(progress.isBetween == between.contains(end), "seed \(seed), after \(end)")
      #expect(
        hasEnded == between.contains { index < $0 && $0 <= end }, "seed \(seed), after \(end)")
      index = end
    }
  }
}

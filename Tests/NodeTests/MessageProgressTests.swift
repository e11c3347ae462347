import TestSupport
import Testing

@testable import Node

@Suite struct MessageProgressTests {
  /// However the bytes are cut, what is unfinished is what follows the last whole message.
  @Test(arguments: testSeeds(count: 3)) func countsWhatIsNotWhole(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var bytes: [UInt8] = []
    var ends = [0]
    for _ in 0..<60 {
      bytes += Frames.message(
        [UInt8](repeating: 0xFF, count: random.oneIn(3) ? 0 : .random(in: 1...700, using: &random)))
      ends.append(bytes.count)
    }
    var (progress, index) = (MessageProgress(), 0)
    while index < bytes.count {
      let end = min(
        bytes.count, index + .random(in: 1...(random.oneIn(2) ? 9 : 900), using: &random))
      bytes[index..<end].withUnsafeBytes { progress.take($0) }
      index = end
      let whole = ends.last { $0 <= index } ?? 0
      #expect(progress.unfinishedByteCount == index - whole, "seed \(seed), byte \(index)")
    }
  }
}

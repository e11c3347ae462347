extension SeededGenerator {
  /// Cuts, lengthens or changes bytes, as often as `times` allows: what a disk or a peer may hand over.
  package mutating func damage(_ bytes: inout [UInt8], times: ClosedRange<Int>) {
    for _ in 0..<Int.random(in: times, using: &self) {
      switch Int.random(in: 0..<3, using: &self) {
      case 0: bytes.removeLast(Int.random(in: 0...bytes.count / 2, using: &self))
      case 1: bytes.append(UInt8.random(in: 0...255, using: &self))
      default:
        guard !bytes.isEmpty else { continue }
        bytes[Int.random(in: 0..<bytes.count, using: &self)] =
          oneIn(2) ? 0xFF : UInt8.random(in: 0...255, using: &self)
      }
    }
  }
}

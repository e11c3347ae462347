import Catalog

/// Measures how fast one core gets timestamps.
enum ClockBench {
  /// One call a timestamp, then batches; the wall clock moves on once in 1,024 calls.
  static func run() throws {
    let clock = HybridClock(ceiling: HybridTimestamp(milliseconds: 1 << 44))
    for (batch, calls) in [(1, 50_000_000), (100, 5_000_000), (65_536, 200_000)] {
      let start = nanoseconds()
      var checksum: UInt64 = 0
      for call in 0..<calls {
        let wall = 1_785_312_000_000 + UInt64(call >> 10)
        if batch == 1 {
          checksum ^= try clock.next(wallMilliseconds: wall).rawValue
        } else {
          checksum ^= try clock.next(batch, wallMilliseconds: wall).first.rawValue
        }
      }
      let elapsed = nanoseconds() - start
      let perSecond = Double(calls) * Double(batch) / Double(elapsed) * 1e9
      report(
        "timestamps",
        "\"batch\":\(batch),\"per_second\":\(Int(perSecond)),"
          + "\"mean_ns_per_call\":\(decimal(Double(elapsed) / Double(calls))),"
          + "\"checksum\":\(checksum & 0xFFFF)")
    }
  }
}

import Glibc

/// Nanoseconds of a clock that only goes forward, the same in all processes of a machine.
package func now() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Nanoseconds of processor time that this process has taken.
package func cpu() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Since when something is measured.
package struct Start: Sendable {
  private let wall = now()
  private let processor = cpu()

  /// Since now.
  package init() {}

  /// Nanoseconds that went by, and of processor time.
  package var elapsed: (wall: UInt64, processor: UInt64) { (now() - wall, cpu() - processor) }
}

/// How long things took, in nanoseconds; less than nothing where one thing came before another.
package struct Latencies: Sendable {
  private var samples: [Int64] = []

  /// Without samples.
  package init() {}

  package var count: Int { samples.count }

  package mutating func add(_ nanoseconds: UInt64) { samples.append(Int64(clamping: nanoseconds)) }

  package mutating func add(from start: UInt64, to end: UInt64) {
    samples.append(Int64(clamping: end) - Int64(clamping: start))
  }

  package mutating func add(_ others: Latencies) { samples += others.samples }

  /// In microseconds; 0 without samples.
  package func quantile(_ quantile: Double) -> Double {
    guard !samples.isEmpty else { return 0 }
    let sorted = samples.sorted()
    return Double(sorted[min(sorted.count - 1, Int(quantile * Double(sorted.count)))]) / 1_000
  }
}

/// Prints a figure as a line of JSON.
package func report(
  _ name: String, _ facts: KeyValuePairs<String, Any>, count: Int, unit: String,
  since start: Start, _ latencies: Latencies?
) {
  let (nanoseconds, processor) = start.elapsed
  let perSecond = Double(count) / Double(nanoseconds) * 1_000_000_000
  var figures: [(String, Any)] = [
    (unit, count), ("seconds", rounded(Double(nanoseconds) / 1e9)),
    ("\(unit)_per_second", Int(perSecond)),
    // Of all threads: on a busy machine the better measure.
    ("cpu_ns_each", processor / UInt64(max(1, count))),
  ]
  if let latencies {
    figures += [
      ("p50_us", rounded(latencies.quantile(0.5))), ("p99_us", rounded(latencies.quantile(0.99))),
    ]
  }
  report(name, facts.map { ($0.key, $0.value) } + figures)
}

/// Prints facts and figures as a line of JSON: numbers, and strings that need no escapes.
package func report(_ name: String, _ facts: [(String, Any)]) {
  var line = "{\"bench\": \"\(name)\""
  for (key, value) in facts {
    line += value is String ? ", \"\(key)\": \"\(value)\"" : ", \"\(key)\": \(value)"
  }
  print(line + "}")
  fflush(nil)
}

/// To three digits behind the point.
package func rounded(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }

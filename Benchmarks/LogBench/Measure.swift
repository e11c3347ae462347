import Glibc

/// Nanoseconds of a clock that only goes forward.
func now() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Nanoseconds of processor time that this process has taken.
func cpu() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Since when something is measured.
struct Start {
  private let wall = now()
  private let processor = cpu()

  /// Nanoseconds that went by, and of processor time.
  var elapsed: (wall: UInt64, processor: UInt64) { (now() - wall, cpu() - processor) }
}

let wallMilliseconds: @Sendable () -> UInt64 = {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return UInt64(time.tv_sec) * 1_000 + UInt64(time.tv_nsec) / 1_000_000
}

/// How long things took, in nanoseconds.
struct Latencies: Sendable {
  private var samples: [UInt64] = []

  mutating func add(_ nanoseconds: UInt64) { samples.append(nanoseconds) }

  /// In microseconds.
  func quantile(_ quantile: Double) -> Double {
    guard !samples.isEmpty else { return 0 }
    let sorted = samples.sorted()
    return Double(sorted[min(sorted.count - 1, Int(quantile * Double(sorted.count)))]) / 1_000
  }
}

/// Prints a figure as a line of JSON.
func report(
  _ name: String, _ facts: KeyValuePairs<String, Any>, count: Int, unit: String,
  since start: Start, _ latencies: Latencies?
) {
  let (nanoseconds, processor) = start.elapsed
  var line = "{\"bench\": \"\(name)\""
  for (key, value) in facts {
    line += value is String ? ", \"\(key)\": \"\(value)\"" : ", \"\(key)\": \(value)"
  }
  let perSecond = Double(count) / Double(nanoseconds) * 1_000_000_000
  line += ", \"\(unit)\": \(count), \"seconds\": \(rounded(Double(nanoseconds) / 1e9))"
  line += ", \"\(unit)_per_second\": \(Int(perSecond))"
  // Of all threads: on a busy machine the better measure.
  line += ", \"cpu_ns_each\": \(processor / UInt64(max(1, count)))"
  if let latencies {
    line += ", \"p50_us\": \(rounded(latencies.quantile(0.5)))"
    line += ", \"p99_us\": \(rounded(latencies.quantile(0.99)))"
  }
  print(line + "}")
  fflush(nil)
}

private func rounded(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }

func write(_ bytes: [UInt8], to path: String) throws {
  guard let file = fopen(path, "wb") else { throw UsageError(argument: path) }
  defer { fclose(file) }
  guard fwrite(bytes, 1, bytes.count, file) == bytes.count else {
    throw UsageError(argument: path)
  }
}

/// Removes what the bench made: the log folders in `path`, then `path`.
func removeFolder(_ path: String) {
  guard let folder = opendir(path) else { return }
  while let entry = readdir(folder) {
    let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    guard name != ".", name != ".." else { continue }
    removeFolder(path + "/" + name)
    unlink(path + "/" + name)
  }
  closedir(folder)
  rmdir(path)
}

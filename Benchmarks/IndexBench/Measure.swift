#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Nanoseconds of a clock that only goes forward.
@inline(__always)
func nanoseconds() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}

/// Nanoseconds that this thread has had a processor: what a busy machine does not stretch.
func processorNanoseconds() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}

/// What reading the clock twice takes, which single measurements have in them.
func clockOverhead() -> UInt64 {
  var samples: [UInt64] = []
  for _ in 0..<100_001 {
    let start = nanoseconds()
    samples.append(nanoseconds() - start)
  }
  samples.sort()
  return samples[samples.count / 2]
}

/// Times of single operations, the clock's own share taken off.
struct Samples {
  private var values: [UInt64] = []
  private let overhead: UInt64

  init(capacity: Int, overhead: UInt64) {
    self.overhead = overhead
    values.reserveCapacity(capacity)
  }

  @inline(__always)
  mutating func append(from start: UInt64, to end: UInt64) {
    values.append(end &- start)
  }

  /// Fields of a JSON object: `"median":…,"p99":…`.
  mutating func fields() -> String {
    values.sort()
    func at(_ share: Double) -> UInt64 {
      let value = values[min(values.count - 1, Int(Double(values.count) * share))]
      return value > overhead ? value - overhead : 0
    }
    return "\"median_ns\":\(at(0.5)),\"p99_ns\":\(at(0.99))"
  }
}

/// The process's resident memory in bytes.
func residentBytes() -> Int {
  guard let file = fopen("/proc/self/statm", "r") else { return 0 }
  defer { fclose(file) }
  var line = [CChar](repeating: 0, count: 256)
  guard fgets(&line, 256, file) != nil else { return 0 }
  let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  let fields = text.split(separator: " ")
  return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * 4096
}

/// One decimal, as JSON wants it.
func decimal(_ value: Double) -> String {
  let tenths = (value * 10).rounded()
  return "\(Int(tenths) / 10).\(abs(Int(tenths)) % 10)"
}

func report(_ name: String, _ fields: String) {
  print("{\"bench\":\"\(name)\",\(fields)}")
  fflush(nil)
}

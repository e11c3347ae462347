import Foundation

/// What the kernel tells of this process, under the names that Prometheus' own clients give it.
struct ProcessMetrics: Sendable {
  /// In seconds since 1970.
  var startTime: Double?
  var cpuSeconds: Double?
  var residentByteCount: Int?
  var virtualByteCount: Int?
  var openFileCount: Int?
  var maximumFileCount: Int?

  /// Reads /proc; what cannot be read is left out.
  static func current() -> ProcessMetrics {
    var metrics = ProcessMetrics()
    // The name of the program, the second field, may have spaces.
    if let stat = read("/proc/self/stat"), let end = stat.lastIndex(of: ")") {
      let fields = stat[end...].split(separator: " ").dropFirst().map(String.init)
      // Fields are numbered from 1 in proc(5); the first one here is the third.
      func field(_ number: Int) -> Double? {
        fields.indices.contains(number - 3) ? Double(fields[number - 3]) : nil
      }
      let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
      if let user = field(14), let system = field(15) {
        metrics.cpuSeconds = (user + system) / ticks
      }
      metrics.virtualByteCount = field(23).map { Int($0) }
      metrics.residentByteCount = field(24).map { Int($0) * sysconf(Int32(_SC_PAGESIZE)) }
      if let start = field(22), let boot = bootTime { metrics.startTime = boot + start / ticks }
    }
    metrics.openFileCount = try? FileManager.default
      .contentsOfDirectory(atPath: "/proc/self/fd").count
    var limit = rlimit()
    if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
      metrics.maximumFileCount = Int(clamping: limit.rlim_cur)
    }
    return metrics
  }

  private static let bootTime: Double? = read("/proc/stat").flatMap { text in
    text.split(separator: "\n").first { $0.hasPrefix("btime ") }.flatMap {
      Double($0.dropFirst("btime ".count))
    }
  }

  private static func read(_ path: String) -> String? {
    try? String(contentsOfFile: path, encoding: .utf8)
  }

  func write(to text: inout MetricsText) {
    if let cpuSeconds {
      text.begin("process_cpu_seconds_total", .counter, "User and system CPU time spent.")
      text.sample(cpuSeconds)
    }
    if let residentByteCount {
      text.gauge("process_resident_memory_bytes", "Resident memory.", residentByteCount)
    }
    if let virtualByteCount {
      text.gauge("process_virtual_memory_bytes", "Virtual memory.", virtualByteCount)
    }
    if let openFileCount { text.gauge("process_open_fds", "Open file descriptors.", openFileCount) }
    if let maximumFileCount {
      text.gauge("process_max_fds", "Most open file descriptors.", maximumFileCount)
    }
    if let startTime {
      text.gauge("process_start_time_seconds", "Start of the process since 1970.", startTime)
    }
  }
}

import Glibc

/// How much of itself a node lets its callers take.
package struct ConnectionLimits: Hashable, Sendable {
  /// The most connections at a time; one more is closed at once.
  package var connections = 10_000
  /// The most calls at a time on one connection.
  package var streamsPerConnection = 4096
  /// The longest message, in bytes, that a caller may send.
  package var messageByteCount = 16 << 20
  /// How long a caller may take for its greeting, for one frame, or for the head of one call.
  package var patience: Duration = .seconds(20)

  package init() {}

  /// File descriptors that a node needs for itself: its logs, its links, what it reads.
  private static let reserve = 256

  /// Has the system give the process as many file descriptors as it may have.
  ///
  /// - Returns: How many connections that leaves room for.
  @discardableResult
  package static func raiseDescriptorLimit() -> Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return .max }
    if limit.rlim_cur < limit.rlim_max {
      var raised = limit
      raised.rlim_cur = limit.rlim_max
      if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0 { limit = raised }
    }
    return max(1, Int(min(limit.rlim_cur, rlim_t(Int32.max))) - reserve)
  }
}

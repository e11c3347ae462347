import GRPCCore

extension RPCError {
  /// How a stream ends that would go on: its caller gave it up, or its time is up. The caller's own
  /// timer may be a moment behind, and would let the stream pass for one that ended well.
  static func givenUp(hasDeadline: Bool) -> RPCError {
    hasDeadline
      ? RPCError(code: .deadlineExceeded, message: "the time that the caller gave is up")
      : RPCError(code: .cancelled, message: "the caller gave the call up")
  }
}

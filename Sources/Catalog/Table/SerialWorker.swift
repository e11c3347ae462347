/// Does pieces of work one after the other, beside whoever hands them over.
package protocol SerialWorker: Sendable {
  /// Hands over a piece of work; waits where too many wait already.
  func run(_ piece: @escaping @Sendable () -> Void)
  /// Waits until all that was handed over is done.
  func finish()
}

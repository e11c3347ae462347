/// Lets readers in at any time but for the moments in which the map is moved, and lets the map be
/// moved only while no reader is in.
///
/// A thread that is in must not enter again: it would wait for itself when the map is to be moved in
/// between.
final class TransactionGate: Sendable {
  private struct Occupancy {
    var readers = 0
    var isClosed = false
  }

  private let occupancy = Monitor(Occupancy())

  /// Waits while the map is being moved.
  func enter() {
    occupancy.wait { (occupancy) -> Void? in
      guard !occupancy.isClosed else { return nil }
      occupancy.readers += 1
      return ()
    }
  }

  /// Ends what ``enter()`` began.
  func leave() {
    let isLast = occupancy.withLock { occupancy in
      occupancy.readers -= 1
      return occupancy.readers == 0 && occupancy.isClosed
    }
    if isLast { occupancy.change { _ in } }
  }

  /// Runs `body` while nobody is in.
  func close<Result, Failure: Error>(
    during body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    occupancy.wait { (occupancy) -> Void? in
      guard !occupancy.isClosed else { return nil }
      occupancy.isClosed = true
      return ()
    }
    occupancy.wait { $0.readers == 0 ? () : nil }
    defer { occupancy.change { $0.isClosed = false } }
    return try body()
  }
}

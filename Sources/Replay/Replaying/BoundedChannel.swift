/// Hands values from one thread to another, a few ahead at most.
final class BoundedChannel<Element: Sendable>: Sendable {
  private struct Contents {
    var waiting: [Element] = []
    var isClosed = false
  }

  private let contents = Monitor(Contents())
  private let capacity: Int

  init(capacity: Int) { self.capacity = capacity }

  /// Waits for room; false when nobody takes values any more.
  func send(_ element: sending Element) -> Bool {
    let hasRoom = contents.wait { contents -> Bool? in
      if contents.isClosed { return false }
      return contents.waiting.count < capacity ? true : nil
    }
    guard hasRoom else { return false }
    contents.change { $0.waiting.append(element) }
    return true
  }

  /// Waits for values and takes all that wait; empty when the channel is closed and nothing is left.
  func receive() -> [Element] {
    let taken = contents.wait { contents -> [Element]? in
      guard !contents.waiting.isEmpty || contents.isClosed else { return nil }
      defer { contents.waiting = [] }
      return contents.waiting
    }
    contents.wake()
    return taken
  }

  /// No more values, from either side.
  func close() { contents.change { $0.isClosed = true } }
}

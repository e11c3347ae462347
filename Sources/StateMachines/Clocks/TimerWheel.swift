import Catalog

/// Things that are due at some time, in slots by time: to add one costs O(1), and to take those that
/// are due costs what they are, and the slots that went by. Pure: the time is an argument.
///
/// A slot holds what is due in its tick of any round, with the time. Source: Varghese and Lauck,
/// "Hashed and Hierarchical Timing Wheels", 1987, scheme 6.
package struct TimerWheel<Element> {
  private var slots: [[(due: MonotonicTime, element: Element)]]
  private let tick: UInt64
  /// All that is due before this tick was taken.
  private var next: UInt64
  package private(set) var count = 0

  /// A wheel of `slotCount` slots, of a tick each, that starts at a time.
  ///
  /// - Precondition: Both are positive.
  package init(slotCount: Int = 64, tick: Duration, at start: MonotonicTime) {
    precondition(slotCount > 0 && tick.wholeNanoseconds > 0, "a wheel has slots")
    slots = Array(repeating: [], count: slotCount)
    self.tick = tick.wholeNanoseconds
    next = start.nanoseconds / self.tick
  }

  /// Adds something that is due at a time; what is past is due now. O(1).
  package mutating func insert(_ element: Element, due: MonotonicTime) {
    let at = max(due.nanoseconds / tick, next)
    slots[Int(at % UInt64(slots.count))].append((due, element))
    count += 1
  }

  /// Takes all that is due at `time` or before. O(*e* + *s*) for *e* elements in *s* slots.
  package mutating func takeDue(at time: MonotonicTime) -> [Element] {
    let last = time.nanoseconds / tick
    guard count > 0, last >= next else {
      next = max(next, last)
      return []
    }
    var taken: [Element] = []
    // The slot of now is looked at again: more of it may be due later.
    for index in 0..<min(last - next + 1, UInt64(slots.count)) {
      let slot = Int((next + index) % UInt64(slots.count))
      guard !slots[slot].isEmpty else { continue }
      var kept: [(due: MonotonicTime, element: Element)] = []
      for entry in slots[slot] {
        if entry.due <= time { taken.append(entry.element) } else { kept.append(entry) }
      }
      slots[slot] = kept
    }
    count -= taken.count
    next = last
    return taken
  }
}

extension TimerWheel: Sendable where Element: Sendable {}

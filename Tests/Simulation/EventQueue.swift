/// What is to happen, by simulated time; what is due at the same time happens in the order in which
/// it was put in. A binary heap.
struct EventQueue {
  struct Event {
    /// Since the start of the world.
    var time: Duration
    var number: UInt64
    var action: () -> Void

    func isBefore(_ other: Event) -> Bool { (time, number) < (other.time, other.number) }
  }

  private var heap: [Event] = []
  private var nextNumber: UInt64 = 0

  var first: Event? { heap.first }

  mutating func insert(at time: Duration, _ action: @escaping () -> Void) {
    heap.append(Event(time: time, number: nextNumber, action: action))
    nextNumber += 1
    var child = heap.count - 1
    while child > 0, heap[child].isBefore(heap[(child - 1) / 2]) {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func removeFirst() -> Event? {
    guard let last = heap.popLast() else { return nil }
    guard let first = heap.first else { return last }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[child].isBefore(heap[least]) {
        least = child
      }
      guard least != parent else { return first }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}

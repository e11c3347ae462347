/// What a search for an order came to.
package enum LinearizabilityVerdict: Hashable, Sendable {
  /// There is an order that the model allows: indices into the history. Operations without a result
  /// that are not in it took no effect.
  case linearizable(order: [Int])
  /// There is none. `longest` is the longest part of one that was found, `stuck` the operation that
  /// returned too early to come behind it.
  case violation(longest: [Int], stuck: Int)
  /// So many steps were made, and nothing is known. No pass.
  case gaveUp(steps: Int)
}

/// Looks for an order of operations that overlap in time in which a thing used by one caller at a time
/// would have given what they gave.
///
/// The search is Wing's and Gong's, with the memory of Lowe's: an operation is tried that was called
/// before any that is left returned; what was ordered and the state that it came to are remembered, so
/// that no two orders of the same operations are followed further from the same state. See Wing and
/// Gong, *Testing and Verifying Concurrent Objects*, 1993; Lowe, *Testing for Linearizability*, 2017.
package struct LinearizabilityChecker<Model: SequentialModel>: Sendable {
  package let model: Model
  /// How many operations are tried before the search is given up.
  package var stepLimit: Int

  package init(_ model: Model, stepLimit: Int = 5_000_000) {
    self.model = model
    self.stepLimit = stepLimit
  }

  /// - Complexity: Exponential in the number of operations that overlap, in the worst case; each step
  ///   takes O(*n* / 64) for its memory.
  package func check(_ history: [HistoryItem<Model>]) -> LinearizabilityVerdict {
    var search = LinearizabilitySearch(model, history)
    return search.run(stepLimit: stepLimit)
  }
}

/// What was put in order, as a set, and the state that it came to.
private struct Configuration<State: Hashable>: Hashable {
  var ordered: [UInt64]
  var state: State
}

/// The calls and returns that are left, in time, as a list in arrays.
private struct EventList {
  /// Of an event, the one behind it; index 0 is before the first.
  private(set) var next: [Int]
  private var previous: [Int]

  init(count: Int) {
    next = (0...count).map { $0 + 1 }
    previous = (0...count).map { $0 - 1 }
    next[count] = 0
    previous[0] = count
  }

  mutating func remove(_ event: Int) {
    next[previous[event]] = next[event]
    previous[next[event]] = previous[event]
  }

  /// Puts back what was removed last of those that are not back yet.
  mutating func restore(_ event: Int) {
    next[previous[event]] = event
    previous[next[event]] = event
  }
}

private struct LinearizabilitySearch<Model: SequentialModel> {
  private enum Event {
    case call(Int)
    case returned(Int)
  }

  private let model: Model
  private let history: [HistoryItem<Model>]
  /// Index 0 stands for the end of the list.
  private var events: [Event?] = [nil]
  private var callEvent: [Int]
  private var returnEvent: [Int?]
  private var list: EventList
  private var seen: Set<Configuration<Model.State>> = []
  private var configuration: Configuration<Model.State>
  private var order: [(item: Int, stateBefore: Model.State)] = []
  private var longest: [Int] = []
  private var stuck = 0

  init(_ model: Model, _ history: [HistoryItem<Model>]) {
    self.model = model
    self.history = history
    // At the same tick calls come first: operations that touch may be in any order.
    var moments: [(tick: UInt64, isReturn: Int, item: Int)] = []
    for (index, item) in history.enumerated() {
      moments.append((item.start, 0, index))
      if item.result != nil { moments.append((max(item.start, item.end), 1, index)) }
    }
    moments.sort { ($0.tick, $0.isReturn, $0.item) < ($1.tick, $1.isReturn, $1.item) }
    callEvent = Array(repeating: 0, count: history.count)
    returnEvent = Array(repeating: nil, count: history.count)
    for moment in moments {
      if moment.isReturn == 1 {
        returnEvent[moment.item] = events.count
        events.append(.returned(moment.item))
      } else {
        callEvent[moment.item] = events.count
        events.append(.call(moment.item))
      }
    }
    list = EventList(count: events.count - 1)
    configuration = Configuration(
      ordered: Array(repeating: 0, count: (history.count + 63) / 64), state: model.initial)
  }

  mutating func run(stepLimit: Int) -> LinearizabilityVerdict {
    var left = history.count { $0.result != nil }
    var steps = 0
    var event = list.next[0]
    while left > 0 {
      switch events[event] {
      case .call(let item):
        steps += 1
        guard steps <= stepLimit else { return .gaveUp(steps: stepLimit) }
        if put(item) {
          if history[item].result != nil { left -= 1 }
          event = list.next[0]
        } else {
          event = list.next[event]
        }
      case .returned(let item):
        // It returned, and is in no place yet: what was put in order last is wrong.
        if order.count >= longest.count {
          longest = order.map(\.item)
          stuck = item
        }
        guard let last = order.popLast() else {
          return .violation(longest: longest, stuck: stuck)
        }
        takeBack(last)
        if history[last.item].result != nil { left += 1 }
        event = list.next[callEvent[last.item]]
      case nil:
        // Every operation with a result has its return in the list for as long as it is left.
        preconditionFailure("\(left) operations are left and none returns")
      }
    }
    return .linearizable(order: order.map(\.item))
  }

  /// Puts an operation next in the order, where the model lets it be and that is new.
  private mutating func put(_ item: Int) -> Bool {
    let before = configuration.state
    guard let after = model.step(before, history[item].operation, history[item].result) else {
      return false
    }
    // Whether an operation that nobody heard of did nothing makes no difference.
    if history[item].result == nil, after == before { return false }
    configuration.ordered[item / 64] |= 1 << UInt64(item % 64)
    configuration.state = after
    guard seen.insert(configuration).inserted else {
      configuration.ordered[item / 64] &= ~(1 << UInt64(item % 64))
      configuration.state = before
      return false
    }
    order.append((item, before))
    list.remove(callEvent[item])
    if let event = returnEvent[item] { list.remove(event) }
    return true
  }

  private mutating func takeBack(_ last: (item: Int, stateBefore: Model.State)) {
    if let event = returnEvent[last.item] { list.restore(event) }
    list.restore(callEvent[last.item])
    configuration.ordered[last.item / 64] &= ~(1 << UInt64(last.item % 64))
    configuration.state = last.stateBefore
  }
}

import TestSupport

/// A number that is read, written and compared.
struct Register: SequentialModel {
  enum Operation: Hashable, Sendable {
    case read
    case write(Int)
    case swap(from: Int, to: Int)
  }

  enum Result: Hashable, Sendable {
    case value(Int)
    case done
    case refused
  }

  let initial = 0

  func step(_ state: Int, _ operation: Operation, _ result: Result?) -> Int? {
    switch operation {
    case .read: result == nil || result == .value(state) ? state : nil
    case .write(let value): result == nil || result == .done ? value : nil
    case .swap(let from, let to) where from == state:
      result == nil || result == .done ? to : nil
    case .swap: result == nil || result == .refused ? state : nil
    }
  }

  /// What the operation gives in `state`, and the state after it.
  func carryOut(_ operation: Operation, in state: inout Int) -> Result {
    switch operation {
    case .read: return .value(state)
    case .write(let value): state = value
    case .swap(let from, let to):
      guard from == state else { return .refused }
      state = to
    }
    return .done
  }
}

extension SequentialModel {
  /// Whether there is an order: tries each, without any of what makes the checker fast.
  func allowsSomeOrder(of history: [HistoryItem<Self>]) -> Bool {
    func goesOn(_ ordered: [Int], _ state: State) -> Bool {
      if history.indices.allSatisfy({ history[$0].result == nil || ordered.contains($0) }) {
        return true
      }
      return history.indices.contains { next in
        guard !ordered.contains(next),
          let after = step(state, history[next].operation, history[next].result)
        else { return false }
        // Nothing that comes behind it may have returned before it was called.
        let comesTooEarly = history.indices.contains {
          $0 != next && !ordered.contains($0) && history[$0].result != nil
            && history[$0].end < history[next].start
        }
        return !comesTooEarly && goesOn(ordered + [next], after)
      }
    }
    return goesOn([], initial)
  }
}

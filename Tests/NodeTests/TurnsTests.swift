import TestSupport
import Testing

@testable import Node

@Suite(.timeLimit(.minutes(5))) struct TurnsTests {
  /// Holds up whoever waits, cancelled or not.
  private struct Latch {
    let isOpen = Shared(false)

    func wait() async { while !isOpen.value { await Task.yield() } }
    func open() { isOpen.change { $0 = true } }
  }

  @Test(arguments: testSeeds(count: 4))
  func neverMoreThanAllowedAndEveryoneHasATurn(seed: UInt64) async throws {
    var generator = SeededGenerator(seed: seed)
    let count = Int.random(in: 1...4, using: &generator)
    let turns = Turns(count)
    let inside = Shared(0)
    let most = Shared(0)
    let done = Shared(0)
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<60 {
        let yields = Int.random(in: 0...5, using: &generator)
        let isCancelled = number.isMultiple(of: 7)
        group.addTask {
          let task = Task {
            try await turns.withTurn {
              let now = inside.change { inside in
                inside += 1
                return inside
              }
              most.change { $0 = max($0, now) }
              for _ in 0..<yields { await Task.yield() }
              inside.change { $0 -= 1 }
            }
          }
          if isCancelled { task.cancel() }
          if case .success = await task.result, !isCancelled { done.change { $0 += 1 } }
        }
      }
    }
    #expect(most.value <= count, "seed \(seed)")
    #expect(done.value == 51, "seed \(seed)")
    #expect(turns.waiting == 0, "seed \(seed)")
    // No turn was lost: all can be had at once.
    let latch = Latch()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<count {
        group.addTask {
          try await turns.withTurn {
            inside.change { $0 += 1 }
            await latch.wait()
          }
        }
      }
      try await until { inside.value == count }
      latch.open()
      try await group.waitForAll()
    }
  }

  @Test func whoCameFirstGoesFirst() async throws {
    let turns = Turns(1)
    let latch = Latch()
    let order = Shared<[Int]>([])
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await turns.withTurn {
          order.change { $0.append(0) }
          await latch.wait()
        }
      }
      try await until { order.value == [0] }
      for number in 1...5 {
        group.addTask { try await turns.withTurn { order.change { $0.append(number) } } }
        try await until { turns.waiting == number }
      }
      latch.open()
      try await group.waitForAll()
    }
    #expect(order.value == [0, 1, 2, 3, 4, 5])
  }

  @Test func whoLeavesTheQueueTakesNoTurn() async throws {
    let turns = Turns(1)
    let latch = Latch()
    let hasTurn = Shared(false)
    let holding = Task {
      try await turns.withTurn {
        hasTurn.change { $0 = true }
        await latch.wait()
      }
    }
    try await until { hasTurn.value }
    let leaving = Task { try await turns.withTurn { false } }
    try await until { turns.waiting == 1 }
    let staying = Task { try await turns.withTurn { true } }
    try await until { turns.waiting == 2 }
    leaving.cancel()
    await #expect(throws: CancellationError.self) { try await leaving.value }
    #expect(turns.waiting == 1)
    latch.open()
    #expect(try await staying.value)
    try await holding.value
  }
}

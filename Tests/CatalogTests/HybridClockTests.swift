import Catalog
import Synchronization
import TestSupport
import Testing

@Suite struct HybridClockTests {
  static let start: UInt64 = 1_785_312_000_000

  private func ceiling(_ milliseconds: UInt64) -> HybridTimestamp {
    HybridTimestamp(milliseconds: Self.start + milliseconds)
  }

  @Test func issuesNothingBeforeItHasACeiling() {
    let clock = HybridClock()
    #expect(throws: HybridClockError.self) { try clock.next(wallMilliseconds: Self.start) }
  }

  @Test func clocksMayShareACeiling() throws {
    let shared = HybridCeiling(ceiling(1))
    let (one, other) = (
      HybridClock(after: ceiling(0), below: shared), HybridClock(after: ceiling(5), below: shared)
    )
    #expect(try one.next(wallMilliseconds: 0) > ceiling(0))
    #expect(throws: HybridClockError.self) { try other.next(wallMilliseconds: 0) }
    #expect(shared.raise(to: ceiling(9)) && !shared.raise(to: ceiling(8)))
    #expect(try other.next(wallMilliseconds: 0) == ceiling(5).next)
    #expect(other.ceiling == ceiling(9))
    // Who stops a clock learns what it issued last, once.
    #expect(other.retire() == ceiling(5).next)
    #expect(other.retire() == nil && other.isRetired && !one.isRetired)
  }

  @Test func followsTheWallClock() throws {
    let clock = HybridClock(ceiling: ceiling(3000))
    #expect(try clock.next(wallMilliseconds: Self.start) == ceiling(0))
    #expect(
      try clock.next(wallMilliseconds: Self.start)
        == HybridTimestamp(milliseconds: Self.start, counter: 1))
    #expect(try clock.next(wallMilliseconds: Self.start + 5) == ceiling(5))
  }

  @Test func risesWhenTheWallClockGoesBackOrStops() throws {
    let clock = HybridClock(ceiling: ceiling(3000))
    var last = try clock.next(wallMilliseconds: Self.start + 100)
    for wall in [Self.start + 50, Self.start + 50, 0, Self.start + 99, Self.start + 100] {
      let next = try clock.next(wallMilliseconds: wall)
      #expect(next > last)
      #expect(next.milliseconds == Self.start + 100)
      last = next
    }
  }

  @Test func aWallClockThatJumpsAheadMeetsTheCeilingAndRecovers() throws {
    let clock = HybridClock(ceiling: ceiling(3000))
    let before = try clock.next(wallMilliseconds: Self.start)
    #expect(
      throws: HybridClockError.ceilingExpired(ceiling: ceiling(3000), needed: ceiling(86_400_000))
    ) { try clock.next(wallMilliseconds: Self.start + 86_400_000) }
    #expect(throws: HybridClockError.self) { try clock.next(wallMilliseconds: .max) }
    // The refused reading left no trace.
    #expect(try clock.next(wallMilliseconds: Self.start + 1) == ceiling(1))
    #expect(before < clock.last)
  }

  @Test func aFullCounterMovesIntoTheNextMillisecond() throws {
    let clock = HybridClock(ceiling: ceiling(2))
    let first = try clock.next(1 << 16, wallMilliseconds: Self.start)
    #expect(first.first == ceiling(0))
    #expect(first.last == HybridTimestamp(milliseconds: Self.start, counter: .max))
    let second = try clock.next(wallMilliseconds: Self.start)
    #expect(second == ceiling(1))
  }

  @Test func aBatchIsIssuedWholeOrNotAtAll() throws {
    let clock = HybridClock(ceiling: HybridTimestamp(milliseconds: Self.start, counter: 10))
    #expect(throws: HybridClockError.self) { try clock.next(11, wallMilliseconds: Self.start) }
    #expect(clock.last == .zero)
    let batch = try clock.next(10, wallMilliseconds: Self.start)
    #expect(batch.last == HybridTimestamp(milliseconds: Self.start, counter: 9))
    #expect(throws: HybridClockError.self) { try clock.next(wallMilliseconds: Self.start) }
  }

  @Test func theGreatestCeilingIsNoWayAroundTheEnd() {
    let end = HybridTimestamp(.max)
    let clock = HybridClock(after: HybridTimestamp(.max - 2), ceiling: end)
    #expect(throws: HybridClockError.self) { try clock.next(2, wallMilliseconds: .max) }
    #expect(throws: Never.self) { try clock.next(wallMilliseconds: 0) }
    #expect(throws: HybridClockError.self) { try clock.next(wallMilliseconds: 0) }
  }

  @Test func aCeilingOnlyRises() throws {
    let clock = HybridClock(ceiling: ceiling(10))
    #expect(!clock.raiseCeiling(to: ceiling(5)))
    #expect(!clock.raiseCeiling(to: ceiling(10)))
    #expect(clock.ceiling == ceiling(10))
    #expect(clock.raiseCeiling(to: ceiling(20)))
    #expect(try clock.next(wallMilliseconds: Self.start + 19) == ceiling(19))
  }

  @Test func isAfterWhatItObserved() throws {
    let clock = HybridClock(ceiling: ceiling(3000))
    try clock.observe(ceiling(400), wallMilliseconds: Self.start)
    #expect(try clock.next(wallMilliseconds: Self.start) > ceiling(400))
    #expect(
      throws: HybridClockError.tooFarAhead(
        ceiling(1000), wallMilliseconds: Self.start, maximumSkewMilliseconds: 500)
    ) { try clock.observe(ceiling(1000), wallMilliseconds: Self.start) }
    #expect(clock.last < ceiling(401))
    // What the clock itself has reached is no skew, however far the wall clock went back.
    try clock.observe(ceiling(400), wallMilliseconds: 0)
    clock.observe(recorded: ceiling(2000))
    #expect(try clock.next(wallMilliseconds: Self.start) > ceiling(2000))
  }

  @Test func issuesNothingOnceItIsRetired() throws {
    let clock = HybridClock(ceiling: ceiling(3000))
    _ = try clock.next(wallMilliseconds: Self.start)
    clock.retire()
    #expect(clock.isRetired)
    clock.raiseCeiling(to: ceiling(9000))
    try? clock.observe(ceiling(1), wallMilliseconds: Self.start)
    #expect(throws: HybridClockError.retired) { try clock.next(wallMilliseconds: Self.start) }
  }

  /// Two owners, one after the other, know nothing of each other but the recorded ceiling.
  @Test func aSuccessorStartsAboveAllThatWasIssued() throws {
    let first = HybridClock(ceiling: ceiling(3000))
    var issued: [HybridTimestamp] = []
    for wall in UInt64(0)..<3000 {
      issued.append(try first.next(wallMilliseconds: Self.start + wall))
    }
    let second = HybridClock(after: first.ceiling, ceiling: ceiling(6000))
    let next = try second.next(wallMilliseconds: Self.start)
    #expect(issued.allSatisfy { $0 < next })
  }

  /// Against a twin that counts in two numbers, with a wall clock that does as it likes.
  @Test(arguments: [1, 2, 3, 4, 5] as [UInt64])
  func agreesWithASlowClock(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let clock = HybridClock(ceiling: ceiling(10))
    var (milliseconds, counter, limit) = (UInt64(0), UInt64(0), Self.start + 10)
    var wall = Self.start
    for _ in 0..<5000 {
      switch Int.random(in: 0..<10, using: &random) {
      case 0: wall -= UInt64.random(in: 0..<50, using: &random)
      case 1: wall += UInt64.random(in: 0..<50, using: &random)
      case 2:
        let raised = Self.start + UInt64.random(in: 0..<2000, using: &random)
        clock.raiseCeiling(to: HybridTimestamp(milliseconds: raised))
        limit = max(limit, raised)
      default:
        let count = Int.random(
          in: 1...(1 << Int.random(in: 0...16, using: &random)), using: &random)
        var (first, start) = (milliseconds, counter + 1)
        if start > 0xFFFF { (first, start) = (first + 1, 0) }
        if wall > first { (first, start) = (wall, 0) }
        let end = first << 16 + start + UInt64(count)
        let batch = try? clock.next(count, wallMilliseconds: wall)
        if end <= limit << 16 {
          #expect(
            batch?.first == HybridTimestamp(milliseconds: first, counter: UInt16(start)),
            "seed \(seed)")
          (milliseconds, counter) = ((end - 1) >> 16, (end - 1) & 0xFFFF)
        } else {
          #expect(batch == nil, "seed \(seed)")
        }
      }
    }
  }

  @Test func neverIssuesOneTwiceToManyThreads() async throws {
    let clock = HybridClock(ceiling: ceiling(1_000_000))
    let batches = try await withThrowingTaskGroup(of: [HybridTimestampBatch].self) { group in
      for task in 0..<4 {
        group.addTask {
          var mine: [HybridTimestampBatch] = []
          for round in 0..<5000 {
            mine.append(
              try clock.next(1 + (round + task) % 7, wallMilliseconds: Self.start + UInt64(round)))
          }
          return mine
        }
      }
      var all: [[HybridTimestampBatch]] = []
      for try await mine in group { all.append(mine) }
      return all
    }
    for mine in batches {
      let rises = zip(mine, mine.dropFirst()).allSatisfy { $0.last < $1.first }
      #expect(rises)
    }
    let sorted = batches.joined().sorted { $0.first < $1.first }
    let areApart = zip(sorted, sorted.dropFirst()).allSatisfy { $0.last < $1.first }
    #expect(areApart)
  }
}

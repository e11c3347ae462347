import Catalog
import StateMachines
import TestSupport
import Testing

@Suite struct TimerWheelTests {
  @Test(arguments: testSeeds(count: 8))
  func takesWhatAListWouldTake(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var now = UInt64.random(in: 0...1_000_000_000, using: &generator)
    var wheel = TimerWheel<Int>(
      slotCount: Int.random(in: 1...9, using: &generator), tick: .milliseconds(10),
      at: MonotonicTime(nanoseconds: now))
    var twin: [(due: UInt64, element: Int)] = []
    for round in 0..<600 {
      if generator.oneIn(2) {
        // Some of it past, some of it many rounds ahead.
        let due = now + UInt64.random(in: 0...400_000_000, using: &generator)
        let early = generator.oneIn(10) ? min(due, now / 2) : due
        wheel.insert(round, due: MonotonicTime(nanoseconds: early))
        twin.append((early, round))
      } else {
        now += UInt64.random(in: 0...40_000_000, using: &generator)
        if generator.oneIn(20) { now += 2_000_000_000 }
        let taken = wheel.takeDue(at: MonotonicTime(nanoseconds: now))
        #expect(
          Set(taken) == Set(twin.filter { $0.due <= now }.map(\.element)),
          "seed \(seed), round \(round)")
        twin.removeAll { $0.due <= now }
      }
      #expect(wheel.count == twin.count, "seed \(seed), round \(round)")
    }
  }
}

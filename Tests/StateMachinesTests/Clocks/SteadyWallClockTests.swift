import Catalog
import StateMachines
import Testing

@Suite struct SteadyWallClockTests {
  private func at(_ milliseconds: UInt64) -> MonotonicTime {
    MonotonicTime(nanoseconds: milliseconds * 1_000_000)
  }

  @Test func passesOnWhatGoesWithTime() {
    var clock = SteadyWallClock(maximumSkew: .milliseconds(500))
    #expect(clock.reading(1_000_000, at: at(0)) == 1_000_000)
    #expect(clock.reading(1_000_010, at: at(10)) == 1_000_010)
    // A little ahead, as NTP sets it.
    #expect(clock.reading(1_000_510, at: at(10)) == 1_000_510)
    #expect(clock.heldBack == .zero)
  }

  @Test func passesOnOneThatStopsOrGoesBack() {
    var clock = SteadyWallClock()
    #expect(clock.reading(1_000_000, at: at(0)) == 1_000_000)
    #expect(clock.reading(1_000_000, at: at(5000)) == 1_000_000)
    #expect(clock.reading(1000, at: at(5001)) == 1000)
    #expect(clock.reading(1001, at: at(5002)) == 1001)
  }

  @Test func holdsBackOneThatJumpsAhead() {
    var clock = SteadyWallClock(maximumSkew: .milliseconds(500))
    let year: UInt64 = 31_536_000_000
    #expect(clock.reading(1_000_000, at: at(0)) == 1_000_000)
    #expect(clock.reading(1_000_000 + year, at: at(0)) == 1_000_000)
    // It is followed an eighth faster than time passes, and how far it is off is told.
    #expect(clock.reading(1_000_800 + year, at: at(800)) == 1_000_900)
    #expect(clock.heldBack == .milliseconds(Int64(year) - 100))
    #expect(clock.furthest >= clock.heldBack)
    // Set right again, it is taken as it is.
    #expect(clock.reading(1_000_801, at: at(801)) == 1_000_801)
    #expect(clock.heldBack == .zero)
    #expect(clock.furthest >= .milliseconds(Int64(year) - 100))
  }

  @Test func catchesUpWithOneThatStaysAhead() {
    var clock = SteadyWallClock(maximumSkew: .milliseconds(500))
    _ = clock.reading(1_000_000, at: at(0))
    var last: UInt64 = 0
    for second in UInt64(1)...80 {
      let reading = clock.reading(1_008_000 + second * 1000, at: at(second * 1000))
      #expect(reading > last)
      last = reading
    }
    #expect(clock.heldBack == .zero)
    #expect(last == 1_088_000)
  }

  @Test func extremeReadingsDoNotTrap() {
    var clock = SteadyWallClock(maximumSkew: .seconds(1))
    _ = clock.reading(.max, at: .never)
    _ = clock.reading(0, at: .zero)
    _ = clock.reading(.max, at: .zero)
    _ = clock.reading(.max, at: .never)
  }
}

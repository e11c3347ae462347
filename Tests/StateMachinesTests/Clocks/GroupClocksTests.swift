import Catalog
import StateMachines
import TestSupport
import Testing

@Suite struct GroupClocksTests {
  @Test func issuesWhatItLeadsAndNothingElse() throws {
    var stream = TestStream(["tokyo-1"])
    #expect(throws: GroupClockError.notLed(GroupID(7))) { try stream.next(of: 7, by: 0) }
    stream.lead(groups(1...100_000), by: 0)
    #expect(try stream.next(of: 7, by: 0).first == HybridTimestamp(milliseconds: stream.wall))
    #expect(try stream.next(10, of: 7, by: 0).first.counter == 1)
    #expect(try stream.next(of: 100_000, by: 0).first.counter == 0)
    #expect(throws: GroupClockError.notLed(GroupID(0))) { try stream.next(of: 0, by: 0) }
  }

  @Test func stopsWithItsLease() throws {
    var stream = TestStream(["tokyo-1"])
    stream.lead(groups(1...9), by: 0)
    let clock = try stream.leaders[0].clocks.clock(of: GroupID(1))
    stream.now = 2899
    #expect(throws: Never.self) { try stream.next(of: 1, by: 0) }
    // The window of 3 s, less what the clocks of two machines may differ in it.
    stream.now = 2900
    #expect(throws: GroupClockError.leaseExpired(GroupID(1))) { try stream.next(of: 1, by: 0) }
    #expect(throws: GroupClockError.leaseExpired(GroupID(1))) {
      try clock.next(1, wallMilliseconds: stream.wall, at: stream.time)
    }
    // A renewal revives it: nobody else was made leader.
    stream.tick(0)
    #expect(throws: Never.self) { try stream.next(of: 1, by: 0) }
  }

  @Test func failsClosedAtItsCeiling() throws {
    var stream = TestStream(["tokyo-1"])
    stream.lead(groups(1...1), by: 0)
    // The wall clock is ahead of what the ceiling was made of; the monotonic one is not.
    do throws(GroupClockError) {
      _ = try stream.leaders[0].clocks.next(
        1, of: GroupID(1), wallMilliseconds: stream.wall + 3000, at: stream.time)
      Issue.record("issued at the ceiling")
    } catch {
      #expect(error.description.contains("append a renewal"))
    }
  }

  @Test func aSuccessorWaitsAndStartsAboveItAll() throws {
    var stream = TestStream(["tokyo-1", "tokyo-2"])
    stream.lead(groups(1...9), by: 0)
    stream.now = 1000
    stream.tick(0)
    let last = try stream.next(65_536, of: 5, by: 0).last
    stream.now = 1500
    stream.lead(groups(5...5), by: 1)
    // The first one is told as soon as it hears of the entry, and keeps the others.
    #expect(throws: GroupClockError.notLed(GroupID(5))) { try stream.next(of: 5, by: 0) }
    #expect(throws: Never.self) { try stream.next(of: 4, by: 0) }
    for now in [1500, 4599] as [UInt64] {
      stream.now = now
      stream.tick(1)
      #expect(throws: GroupClockError.self) { try stream.next(of: 5, by: 1) }
    }
    // By then even a first one that heard of nothing has stopped.
    stream.now = 4600
    stream.tick(1)
    let first = try stream.next(of: 5, by: 1).first
    #expect(first > last)
    #expect(first >= HybridTimestamp(milliseconds: TestStream.wallStart + 4000))
  }

  @Test func aHandOverCostsNoWait() throws {
    var stream = TestStream(["tokyo-1", "tokyo-2"])
    stream.lead(groups(1...9), by: 0)
    stream.now = 100
    let last = try stream.next(of: 5, by: 0).last
    let clock = try stream.leaders[0].clocks.clock(of: GroupID(5))
    let retirement = stream.leaders[0].retire(
      groups(4...6), id: stream.nextID(), at: stream.time)
    // It has stopped before that is on record.
    #expect(throws: GroupClockError.notLed(GroupID(5))) {
      try clock.next(1, wallMilliseconds: stream.wall, at: stream.time)
    }
    stream.append(try #require(retirement), by: 0)
    stream.lead(groups(4...6), by: 1)
    let first = try stream.next(of: 5, by: 1).first
    #expect(first > last)
    // And no run ahead of the wall clock.
    #expect(first.milliseconds == stream.wall)
    #expect(throws: Never.self) { try stream.next(of: 7, by: 0) }
    #expect(stream.leaders[0].retire(groups(4...6), id: stream.nextID(), at: stream.time) == nil)
  }

  @Test func aLeaderThatIsStillWaitingPassesThatOn() throws {
    var stream = TestStream(["tokyo-1", "tokyo-2", "tokyo-3"])
    stream.lead(groups(1...1), by: 0)
    stream.lead(groups(1...1), by: 1)
    let retirement = stream.leaders[1].retire(groups(1...1), id: stream.nextID(), at: stream.time)
    stream.append(try #require(retirement), by: 1)
    stream.lead(groups(1...1), by: 2)
    #expect(throws: GroupClockError.self) { try stream.next(of: 1, by: 2) }
    stream.now = 3100
    stream.tick(2)
    #expect(throws: Never.self) { try stream.next(of: 1, by: 2) }
  }

  @Test func whoKnowsThatTheOneBeforeEndedDoesNotWait() throws {
    var stream = TestStream(["tokyo-1", "tokyo-2"])
    stream.lead(groups(1...1), by: 0)
    let last = try stream.next(65_536, of: 1, by: 0).last
    stream.now = 10
    stream.lead(groups(1...1), by: 1, ended: true)
    stream.tick(1)
    let first = try stream.next(of: 1, by: 1).first
    #expect(first > last)
    #expect(first == HybridTimestamp(milliseconds: TestStream.wallStart + 3000))
  }

  @Test func commitsAreBehindWhatIsIssuedAfterThem() throws {
    var stream = TestStream(["tokyo-1"])
    stream.lead(groups(1...9), by: 0)
    _ = try stream.next(of: 1, by: 0)
    let commit = HybridTimestamp(milliseconds: stream.wall + 200, counter: 7)
    let id = transactionID(1)
    for change in [
      RegionChange.begin(
        id, participants: groups(1...2), expiry: HybridTimestamp(milliseconds: stream.wall + 1000)),
      .decide(id, .committed(at: commit)),
    ] {
      stream.append(
        RegionCommand(id: stream.nextID(), actor: "", reason: "", change: change), by: 0)
    }
    // A clock that there was, and one that is made now.
    #expect(try stream.next(of: 1, by: 0).first == commit.next)
    #expect(try stream.next(of: 2, by: 0).first == commit.next)
  }

  @Test func timestampsFromElsewhereNeedACeilingAboveThem() throws {
    var stream = TestStream(["tokyo-1"])
    stream.lead(groups(1...1), by: 0)
    let clocks = stream.leaders[0].clocks
    let near = HybridTimestamp(milliseconds: stream.wall + 400)
    #expect(try clocks.observe(near, in: GroupID(1), wallMilliseconds: stream.wall))
    #expect(try stream.next(of: 1, by: 0).first == near.next)
    // What is further ahead than clocks may differ is not believed.
    #expect(throws: GroupClockError.self) {
      try clocks.observe(
        HybridTimestamp(milliseconds: stream.wall + 2000), in: GroupID(1),
        wallMilliseconds: stream.wall)
    }
    let above = HybridTimestamp(milliseconds: stream.wall + 3100)
    #expect(try !clocks.observe(above, in: GroupID(1), wallMilliseconds: stream.wall + 3000))
    stream.append(
      RegionCommand(
        id: stream.nextID(), actor: "", reason: "",
        change: .raise(groups(1...1), to: above.next)), by: 0)
    #expect(try clocks.observe(above, in: GroupID(1), wallMilliseconds: stream.wall + 3000))
  }

  @Test func optionsThatCannotWorkAreTold() {
    #expect(ClockOptions().problem == nil)
    var options = ClockOptions()
    options.window = .milliseconds(1100)
    #expect(options.problem != nil)
    options.window = .seconds(100_000)
    #expect(options.problem != nil)
    options = ClockOptions()
    options.renewEvery = .zero
    #expect(options.problem != nil)
  }
}

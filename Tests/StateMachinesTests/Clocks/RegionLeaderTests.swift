import Catalog
import StateMachines
import TestSupport
import Testing

@Suite struct RegionLeaderTests {
  @Test func manyGroupsTakeOneEntryASecond() throws {
    var stream = TestStream(["tokyo-1"])
    // In many steps, at many times.
    for index in UInt64(0)..<200 {
      stream.now += 3
      stream.lead(groups(index * 1000...index * 1000 + 499), by: 0)
      stream.tick(0)
    }
    let before = stream.region.entries.count
    for _ in 0..<500 {
      stream.now += 20
      stream.tick(0)
    }
    let renewals = stream.region.entries[before...]
    #expect(renewals.count <= 12)
    let last = try #require(renewals.last)
    #expect(last.entry.events.count == 1)
    #expect(stream.leaders[0].counts.late == 0)
    for group in [0, 499, 199_000, 199_499] as [UInt64] {
      #expect(throws: Never.self) { try stream.next(of: group, by: 0) }
    }
  }

  /// Leads that are renewed together are looked up once: what ends or begins later counts all the same.
  @Test func whatIsRenewedTogetherFollowsWhatIsLed() throws {
    var stream = TestStream(["tokyo-1", "tokyo-2"])
    for group in UInt64(1)...6 { stream.lead(groups(group...group), by: 0) }
    stream.lead(groups(10...19), by: 0)
    func renewed(_ stream: inout TestStream) -> GroupSet {
      let before = stream.region.entries.count
      for _ in 0..<75 {
        stream.now += 20
        stream.tick(0)
      }
      return stream.region.entries[before...].reduce(GroupSet()) { all, encoded in
        encoded.entry.events.reduce(all) { all, event in
          if case .region(.ceilingsRaised(let groups, _, _)) = event { return all.union(groups) }
          return all
        }
      }
    }
    #expect(renewed(&stream) == groups(1...6).union(groups(10...19)))
    #expect(renewed(&stream) == groups(1...6).union(groups(10...19)))
    stream.lead(groups(2...2), by: 1)
    stream.lead(groups(15...15), by: 1)
    let left = groups(1...1).union(groups(3...6)).union(groups(10...14)).union(groups(16...19))
    #expect(renewed(&stream) == left)
    #expect(throws: GroupClockError.notLed(GroupID(15))) { try stream.next(of: 15, by: 0) }
    stream.lead(groups(30...30), by: 0)
    #expect(renewed(&stream) == left.union(groups(30...30)))
    for group in [1, 6, 14, 16, 30] as [UInt64] {
      #expect(throws: Never.self) { try stream.next(of: group, by: 0) }
    }
  }

  @Test func aStuckStreamStopsItsOwnGroupsOnly() throws {
    var (stuck, other) = (TestStream(["tokyo-1"]), TestStream(["tokyo-1"]))
    stuck.lead(groups(1...9), by: 0)
    other.lead(groups(11...19), by: 0)
    var outstanding: [RegionCommand] = []
    for _ in 0..<250 {
      (stuck.now, other.now) = (stuck.now + 20, other.now + 20)
      other.tick(0)
      // The stream takes commands and never answers.
      var ids = [stuck.nextID(), stuck.nextID()]
      outstanding += stuck.leaders[0].tick(
        stuck.region.state, wallMilliseconds: stuck.wall, at: stuck.time,
        id: { ids.removeLast() })
    }
    #expect(outstanding.count == 1)
    #expect(stuck.leaders[0].counts.late > 0)
    #expect(throws: GroupClockError.leaseExpired(GroupID(1))) { try stuck.next(of: 1, by: 0) }
    #expect(throws: Never.self) { try other.next(of: 11, by: 0) }
    // The lease counts from when the renewal was begun, not from when the answer came.
    stuck.append(outstanding[0], by: 0)
    #expect(throws: GroupClockError.leaseExpired(GroupID(1))) { try stuck.next(of: 1, by: 0) }
    for _ in 0..<20 {
      stuck.now += 20
      stuck.tick(0)
    }
    #expect(throws: Never.self) { try stuck.next(of: 1, by: 0) }
  }

  @Test func aRefusedRenewalEndsNothingElse() throws {
    var stream = TestStream(["tokyo-1", "tokyo-2"])
    stream.lead(groups(1...9), by: 0)
    stream.now = 500
    stream.lead(groups(1...9), by: 1)
    for _ in 0..<200 {
      stream.now += 20
      stream.tick(0)
      stream.tick(1)
    }
    #expect(throws: GroupClockError.notLed(GroupID(1))) { try stream.next(of: 1, by: 0) }
    #expect(throws: Never.self) { try stream.next(of: 1, by: 1) }
  }

  @Test func expiredTransactionsAreAborted() throws {
    var stream = TestStream(["tokyo-1"])
    let expiry = HybridTimestamp(milliseconds: stream.wall + 1000)
    stream.append(
      RegionCommand(
        id: stream.nextID(), actor: "", reason: "",
        change: .begin(transactionID(1), participants: groups(1...1), expiry: expiry)), by: 0)
    stream.now = 900
    stream.tick(0)
    #expect(stream.region.state.transactions[transactionID(1)]?.outcome == nil)
    stream.now = 1000
    stream.tick(0)
    #expect(stream.region.state.transactions[transactionID(1)]?.outcome == .aborted)
  }

  /// The wall clock goes back by a day: timestamps and ceilings rise all the same, and there is room.
  @Test func aWallClockThatGoesBackIsSurvived() throws {
    var stream = TestStream(["tokyo-1"])
    stream.lead(groups(1...1), by: 0)
    var last = try stream.next(65_536, of: 1, by: 0).last
    let leader = stream.leaders[0]
    for _ in 0..<500 {
      stream.now += 20
      stream.region.wall -= 86_400_000
      var ids = [stream.nextID(), stream.nextID()]
      let wall = stream.wall - 86_400_000
      for command in leader.tick(
        stream.region.state, wallMilliseconds: wall, at: stream.time, id: { ids.removeLast() })
      { stream.append(command, by: 0) }
      let next = try leader.clocks.next(
        65_536, of: GroupID(1), wallMilliseconds: wall, at: stream.time)
      #expect(next.first > last)
      last = next.last
    }
  }
}

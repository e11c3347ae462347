import Catalog
import StateMachines
import Testing

/// A leader that does not know all that was issued begins above what can have been.
@Suite struct LeadFloorTests {
  private func request(
    _ groups: GroupSet, _ name: String, floor: HybridTimestamp = .zero
  ) -> LeadRequest {
    LeadRequest(
      groups: groups, leader: member(name), ceiling: time(3000), lease: Milliseconds(3000),
      floor: floor)
  }

  private func term(_ events: [RegionEvent]) -> LeaderTerm? {
    guard case .groupsLed(_, let term)? = events.first else { return nil }
    return term
  }

  @Test func nothingBelowTheFloorIsIssuedOfKnownGroupsAndOthers() throws {
    var region = TestRegion()
    _ = try region.perform(.lead(request(groups(1...9), "tokyo-1")))
    let next = term(
      try region.perform(.lead(request(groups(5...20), "osaka-1", floor: time(7000)))))
    #expect(next?.floor == time(7000) && next?.ceiling == time(7000))
    // The lease on record is waited for all the same.
    #expect(next?.wait == Milliseconds(3000) && next?.term == Term(2))
    #expect(try region.replayed().digest == region.state.digest)
  }

  @Test func aFloorBelowWhatIsOnRecordChangesNothing() throws {
    var region = TestRegion()
    _ = try region.perform(.lead(request(groups(1...9), "tokyo-1")))
    let next = term(
      try region.perform(.lead(request(groups(1...9), "osaka-1", floor: time(10)))))
    #expect(next?.floor == time(3000))
  }

  @Test func aFloorThatNoClockCanShowIsRefused() throws {
    var region = TestRegion()
    let far = time(2 * Milliseconds.maximum.rawValue)
    #expect(throws: RegionRefusal.self) {
      try region.perform(.lead(request(groups(1...9), "tokyo-1", floor: far)))
    }
    #expect(region.entries.isEmpty)
  }
}

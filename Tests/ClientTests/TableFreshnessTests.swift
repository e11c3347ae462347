import Catalog
import Testing

@testable import CadastreClient

@Suite struct TableFreshnessTests {
  private func stamp(_ version: UInt64, _ staleness: Duration?) -> ReadStamp {
    ReadStamp(
      version: CatalogVersion(version), servedAtMilliseconds: 0, staleness: staleness)
  }

  @Test func knowsNothingBeforeAnAnswer() {
    #expect(TableFreshness().staleness(at: .seconds(5)) == nil)
  }

  /// A table that has what the node had is as fresh as the node was when it was asked.
  @Test func addsTheNodesOwnStaleness() {
    var freshness = TableFreshness()
    freshness.heard(stamp(7, .seconds(2)), asked: .seconds(10), has: CatalogVersion(7))
    #expect(freshness.staleness(at: .seconds(11)) == .seconds(3))
    // An older answer that comes late takes nothing back.
    freshness.heard(stamp(6, .zero), asked: .seconds(1), has: CatalogVersion(7))
    #expect(freshness.staleness(at: .seconds(11)) == .seconds(3))
  }

  @Test func waitsForWhatIsNotHereYet() {
    var freshness = TableFreshness()
    freshness.heard(stamp(9, .zero), asked: .seconds(10), has: CatalogVersion(7))
    #expect(freshness.staleness(at: .seconds(11)) == nil)
    freshness.reached(CatalogVersion(8))
    #expect(freshness.staleness(at: .seconds(11)) == nil)
    freshness.reached(CatalogVersion(9))
    #expect(freshness.staleness(at: .seconds(12)) == .seconds(2))
  }

  @Test func aNodeThatDoesNotKnowTellsNothing() {
    var freshness = TableFreshness()
    freshness.heard(stamp(7, nil), asked: .seconds(10), has: CatalogVersion(7))
    #expect(freshness.staleness(at: .seconds(11)) == nil)
  }
}

import Catalog
import TestSupport
import Testing

@testable import StateMachines

@Suite struct CeilingTableTests {
  private func clock(_ number: UInt64) -> GroupClock {
    GroupClock(
      ceiling: time(number), term: Term(number), standing: .vacant(floor: .zero, lease: .zero))
  }

  /// Random changes of runs of groups, beside a dictionary that has each group for itself.
  @Test(arguments: testSeeds(count: 6))
  func isADictionaryOfGroups(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var table = CeilingTable()
    var twin: [UInt64: GroupClock] = [:]
    // Some at the end of what ids there are.
    let ids = Array(UInt64(0)...40) + [.max - 3, .max - 2, .max - 1, .max]
    for round in 0..<300 {
      let place: Comment = "seed \(seed), round \(round)"
      let chosen = (0..<Int.random(in: 1...4, using: &generator)).map { _ -> GroupRun in
        let first = ids.randomElement(using: &generator) ?? 0
        let (end, overflow) = first.addingReportingOverflow(
          UInt64.random(in: 0...6, using: &generator))
        return GroupRun(GroupID(first), through: GroupID(overflow ? .max : end))
      }
      let groups = GroupSet(chosen)
      let members = Set(
        groups.runs.flatMap { run in
          (0..<run.count).map { run.first.rawValue + $0 }
        })
      let number = UInt64.random(in: 1...3, using: &generator)
      let next = clock(number)
      // What is changed, as the table tells it, is each group once, with the clock that it has.
      var told: [UInt64: GroupClock?] = [:]
      struct Refused: Error {}
      let isRefused = generator.oneIn(8)
      do throws(Refused) {
        try table.update(groups) { (run, clock) throws(Refused) in
          for offset in 0..<run.count {
            #expect(told.updateValue(clock, forKey: run.first.rawValue + offset) == nil, place)
          }
          if isRefused, run.last == groups.runs.last?.last { throw Refused() }
          return next
        }
        #expect(!isRefused, place)
        for (group, before) in told { #expect(before == twin[group], place) }
        #expect(Set(told.keys) == members, place)
        for group in members { twin[group] = next }
      } catch {
        #expect(isRefused, place)
      }
      for id in ids { #expect(table[GroupID(id)] == twin[id], place) }
      check(table, twin, place)
    }
  }

  private func check(_ table: CeilingTable, _ twin: [UInt64: GroupClock], _ place: Comment) {
    #expect(table.groupCount == UInt64(twin.count), place)
    var digest = StateDigest.zero
    for entry in table.entries {
      for offset in 0..<entry.groups.count {
        #expect(twin[entry.groups.first.rawValue + offset] == entry.clock, place)
      }
      digest += RegionRecord.clocks(entry.groups, entry.clock).bytes.withUnsafeBytes {
        StateDigest(ofRecord: $0)
      }
    }
    #expect(table.digest == digest, place)
    // As long as they can be, and restored from what they say.
    for (left, right) in zip(table.entries, table.entries.dropFirst()) {
      #expect(left.groups.last < right.groups.first, place)
      #expect(!left.groups.meets(right.groups) || left.clock != right.clock, place)
    }
    #expect(CeilingTable(table.entries) == table, place)
  }

  @Test func manyGroupsThatAreAlikeAreOne() throws {
    var table = CeilingTable()
    table.update(groups(1...100_000)) { _, _ in clock(1) }
    #expect(table.entries.count == 1)
    table.update(groups(50_000...50_000)) { _, _ in clock(2) }
    #expect(table.entries.count == 3)
    table.update(groups(1...100_000)) { _, _ in clock(3) }
    #expect(table.entries.count == 1)
  }

  @Test func entriesInAnotherFormAreNotTakenOver() {
    let one = CeilingTable.Entry(groups: GroupRun(GroupID(1)), clock: clock(1))
    let two = CeilingTable.Entry(groups: GroupRun(GroupID(2)), clock: clock(1))
    let other = CeilingTable.Entry(groups: GroupRun(GroupID(2)), clock: clock(2))
    #expect(CeilingTable([one, two]) == nil)
    #expect(CeilingTable([two, one]) == nil)
    #expect(CeilingTable([one, one]) == nil)
    #expect(CeilingTable([one, other]) != nil)
  }
}

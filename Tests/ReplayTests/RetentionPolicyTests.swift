import Catalog
import TestSupport
import Testing

@testable import Replay

@Suite struct RetentionPolicyTests {
  private static let hour: UInt64 = 3_600_000
  private static let now: UInt64 = 1_785_312_000_000

  /// Checkpoints at random times before now, ascending.
  private func checkpoints(
    using generator: inout SeededGenerator
  ) -> [RetentionPolicy.Checkpoint] {
    let count = Int.random(in: 0...120, using: &generator)
    let span = Self.hour * [2, 40, 1_000, 20_000][Int.random(in: 0..<4, using: &generator)]
    let ages = (0..<count).map { _ in UInt64.random(in: 0...span, using: &generator) }
    return ages.sorted(by: >).enumerated().map { index, age in
      RetentionPolicy.Checkpoint(
        version: CatalogVersion(UInt64(index + 1) * 10), position: LogPosition(UInt64(index) + 1),
        time: HybridTimestamp(milliseconds: Self.now - age))
    }
  }

  private func policy(using generator: inout SeededGenerator) -> RetentionPolicy {
    var policy = RetentionPolicy()
    policy.everyCheckpoint = .hours(.random(in: 0...48, using: &generator))
    policy.hourly = .hours(.random(in: 0...400, using: &generator))
    policy.daily = .hours(.random(in: 0...4_000, using: &generator))
    policy.weekly = generator.oneIn(2) ? nil : .hours(.random(in: 0...12_000, using: &generator))
    policy.log = generator.oneIn(3) ? nil : .hours(.random(in: 0...10_000, using: &generator))
    return policy
  }

  @Test(arguments: testSeeds(count: 300))
  func whatMustStayStays(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let all = checkpoints(using: &generator)
    let policy = policy(using: &generator)
    let base =
      generator.oneIn(2)
      ? .zero : all.randomElement(using: &generator).map(\.version) ?? CatalogVersion.zero
    let plan = policy.plan(all, base: base, nowMilliseconds: Self.now)
    let dropped = Set(plan.dropped)
    let kept = all.filter { !dropped.contains($0.version) }
    let comment: Comment = "seed \(seed)"
    #expect(plan.dropped == plan.dropped.sorted(), comment)
    #expect(dropped.isSubset(of: all.map(\.version)), comment)
    let first = plan.base ?? base
    #expect(first >= base, comment)
    if let last = all.last, last.version >= first { #expect(kept.contains(last), comment) }
    for checkpoint in all where checkpoint.version == first { #expect(kept.contains(checkpoint)) }
    #expect(kept.allSatisfy { $0.version >= first }, "older ones lead nowhere; seed \(seed)")
    if let newBase = plan.base {
      let age = Self.now - (all.first { $0.version == newBase }?.time.milliseconds ?? 0)
      let log = try #require(policy.log)
      #expect(Duration.milliseconds(age) >= log, "entries that are kept stay; seed \(seed)")
      // And no newer one would do.
      for other in all where other.version > newBase {
        #expect(Duration.milliseconds(Self.now - other.time.milliseconds) < log, comment)
      }
    }
    for checkpoint in all where checkpoint.version >= first {
      let age = Duration.milliseconds(Self.now - checkpoint.time.milliseconds)
      if age <= policy.everyCheckpoint { #expect(kept.contains(checkpoint), comment) }
    }
    // Done again at the same time it finds nothing to do.
    let again = policy.plan(kept, base: first, nowMilliseconds: Self.now)
    #expect(again.dropped.isEmpty && again.base == nil, comment)
  }

  /// What is kept later was kept before: trimming often keeps what trimming once keeps.
  @Test(arguments: testSeeds(count: 200))
  func trimmingOftenKeepsNoLess(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let all = checkpoints(using: &generator)
    var policy = policy(using: &generator)
    policy.log = nil
    var kept = all
    var now = Self.now
    for _ in 0..<6 {
      let dropped = Set(policy.plan(kept, base: .zero, nowMilliseconds: now).dropped)
      kept.removeAll { dropped.contains($0.version) }
      let once = Set(policy.plan(all, base: .zero, nowMilliseconds: now).dropped)
      let isSame = all.filter { !once.contains($0.version) } == kept
      #expect(isSame, "seed \(seed), at \(now - Self.now)")
      now += UInt64.random(in: 0...2_000, using: &generator) * Self.hour
    }
  }

  @Test func oneAnHourADayAWeek() {
    var policy = RetentionPolicy()
    policy.everyCheckpoint = .hours(3)
    policy.hourly = .hours(24)
    policy.daily = .hours(24 * 7)
    // Every ten minutes for 30 days.
    let all = (0..<4_320).map { index in
      let time = Self.now - UInt64(4_319 - index) * 600_000
      return RetentionPolicy.Checkpoint(
        version: CatalogVersion(UInt64(index) + 1), position: LogPosition(UInt64(index) + 1),
        time: HybridTimestamp(milliseconds: time))
    }
    let dropped = policy.plan(all, base: .zero, nowMilliseconds: Self.now).dropped
    let kept = all.count - dropped.count
    // 18 of three hours, 21 hours, 6 days, 4 weeks, give or take the borders.
    #expect((45...55).contains(kept), "\(kept)")
    #expect(
      policy.description
        == "keep the log for ever; every checkpoint for 3h, one an hour for 1d, one a day for 7d, "
        + "one a week for ever")
  }

  @Test func aClockThatWentBackKeepsAll() {
    let all = [
      RetentionPolicy.Checkpoint(
        version: CatalogVersion(1), position: LogPosition(1),
        time: HybridTimestamp(milliseconds: Self.now))
    ]
    var policy = RetentionPolicy()
    policy.log = .seconds(1)
    #expect(policy.plan(all, base: .zero, nowMilliseconds: 5) == .init())
    #expect(policy.plan([], base: .zero, nowMilliseconds: 0) == .init())
  }
}

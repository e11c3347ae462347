import Catalog
import TestSupport
import Testing

@Suite struct RouteRegisterTests {
  private let start = RouteRegister.Value(
    version: CatalogVersion(1), group: GroupID(1), state: .active, end: Key("n"))

  private func steps(
    _ steps: (RouteRegister.Operation, RouteRegister.Result?)...
  ) -> RouteRegister.State? {
    let register = RouteRegister(start: start)
    return steps.reduce(register.initial) { state, step in
      state.flatMap { register.step($0, step.0, step.1) }
    }
  }

  private func version(_ number: UInt64) -> CatalogVersion { CatalogVersion(number) }

  private func found(
    _ number: UInt64, group: UInt64 = 1, _ state: RouteState = .active, end: String = "n"
  ) -> RouteRegister.Result {
    .found(
      RouteRegister.Value(
        version: version(number), group: GroupID(group), state: state, end: Key(end)))
  }

  @Test func aLookupFindsWhatCommandsMade() {
    let moved = (
      RouteRegister.Operation.move(to: GroupID(2), expected: version(1)),
      RouteRegister.Result.made(version(5))
    )
    #expect(steps(moved, (.read, found(5, group: 2))) != nil)
    #expect(steps(moved, (.read, found(1))) == nil)
    #expect(steps(moved, (.read, found(4, group: 2))) == nil)
    let cut = (
      RouteRegister.Operation.split(at: Key("k"), expected: version(5)),
      RouteRegister.Result.made(version(6))
    )
    #expect(steps(moved, cut, (.read, found(6, group: 2, end: "k"))) != nil)
    #expect(steps(moved, cut, (.read, found(6, group: 2))) == nil)
    let fenced = (
      RouteRegister.Operation.setState(.writeFenced, expected: version(6)),
      RouteRegister.Result.made(version(9))
    )
    #expect(steps(moved, cut, fenced, (.read, found(9, group: 2, .writeFenced, end: "k"))) != nil)
  }

  @Test func versionsOfARouteOnlyRise() {
    #expect(steps((.move(to: GroupID(2), expected: nil), .made(version(1)))) == nil)
    #expect(
      steps(
        (.move(to: GroupID(2), expected: nil), .made(version(7))),
        (.move(to: GroupID(3), expected: nil), .made(version(6)))) == nil)
  }

  @Test func whoSawAnOlderVersionIsRefused() {
    let moved = (
      RouteRegister.Operation.move(to: GroupID(2), expected: version(1)),
      RouteRegister.Result.made(version(5))
    )
    let late = RouteRegister.Operation.move(to: GroupID(3), expected: version(4))
    #expect(steps(moved, (late, .refusedAsStale)) != nil)
    #expect(steps(moved, (late, .made(version(6)))) == nil)
    #expect(
      steps(moved, (.move(to: GroupID(3), expected: version(5)), .refusedAsStale)) == nil)
    #expect(steps(moved, (.move(to: GroupID(3), expected: nil), .refusedAsStale)) == nil)
  }

  @Test func refusalsAreForAReason() {
    #expect(
      steps((.split(at: Key("p"), expected: version(1)), .refusedAsOutside)) != nil)
    #expect(steps((.split(at: Key("k"), expected: version(1)), .refusedAsOutside)) == nil)
    #expect(steps((.split(at: Key("p"), expected: version(1)), .made(version(2)))) == nil)
    #expect(steps((.split(at: Key("k"), expected: version(1)), .refusedAsInactive)) == nil)
    #expect(steps((.setState(.active, expected: version(0)), .alreadyDone)) != nil)
    #expect(steps((.setState(.writeFenced, expected: version(1)), .alreadyDone)) == nil)
    let fenced = (
      RouteRegister.Operation.setState(.writeFenced, expected: version(1)),
      RouteRegister.Result.made(version(2))
    )
    #expect(steps(fenced, (.split(at: Key("k"), expected: version(2)), .refusedAsInactive)) != nil)
    #expect(steps(fenced, (.split(at: Key("k"), expected: version(1)), .refusedAsInactive)) == nil)
    #expect(steps(fenced, (.split(at: Key("k"), expected: version(1)), .refusedAsStale)) != nil)
    #expect(steps(fenced, (.split(at: Key("k"), expected: version(2)), .made(version(3)))) == nil)
  }

  @Test func anUnknownReceiptLeavesTheVersionOpen() {
    let unknown =
      (RouteRegister.Operation.move(to: GroupID(2), expected: version(1)), nil)
      as (RouteRegister.Operation, RouteRegister.Result?)
    #expect(steps(unknown, (.read, found(2, group: 2))) != nil)
    #expect(steps(unknown, (.read, found(8, group: 2))) != nil)
    #expect(steps(unknown, (.read, found(1, group: 2))) == nil)
    #expect(steps(unknown, (.read, found(8, group: 2)), (.read, found(9, group: 2))) == nil)
    // A refusal says that it is above a version, a success that it is not.
    let stale = (
      RouteRegister.Operation.move(to: GroupID(3), expected: version(5)),
      RouteRegister.Result.refusedAsStale
    )
    #expect(steps(unknown, stale, (.read, found(6, group: 2))) != nil)
    #expect(steps(unknown, stale, (.read, found(5, group: 2))) == nil)
    let moved = (
      RouteRegister.Operation.move(to: GroupID(3), expected: version(4)),
      RouteRegister.Result.made(version(9))
    )
    #expect(steps(unknown, moved, (.read, found(9, group: 3))) != nil)
    #expect(steps(unknown, stale, moved) == nil)
    // It does nothing where it would have been refused.
    #expect(
      steps(moved, unknown, (.read, found(9, group: 3))) != nil)
  }
}

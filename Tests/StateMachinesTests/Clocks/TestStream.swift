import Catalog
import StateMachines
import TestSupport

/// A region's stream that takes every command at once, with members that lead groups in it.
struct TestStream {
  static let wallStart: UInt64 = 1_785_312_000_000

  var region = TestRegion()
  var leaders: [RegionLeader] = []
  private var commandCount: UInt64 = 1_000_000

  /// Milliseconds since the start; the wall clock and all monotonic clocks go with it.
  var now: UInt64 = 0 {
    didSet { region.wall = TestStream.wallStart + now }
  }

  var time: MonotonicTime { MonotonicTime(nanoseconds: now * 1_000_000) }
  var wall: UInt64 { TestStream.wallStart + now }

  init(_ members: [String], options: ClockOptions = ClockOptions()) {
    leaders = members.map { name in
      RegionLeader(
        GroupClocks(member: member(name), options: options), of: TestRegion.name, at: .zero)
    }
    region.wall = TestStream.wallStart
  }

  mutating func nextID() -> CommandID {
    commandCount += 1
    return commandID(commandCount)
  }

  /// Appends a command of a member's, and tells everybody.
  @discardableResult
  mutating func append(_ command: RegionCommand, by index: Int) -> RegionRefusal? {
    do throws(RegionRefusal) {
      let proposal = try region.state.propose(command, time: region.nextTime)
      guard case .append(let encoded) = proposal else {
        leaders[index].answered(command, events: nil, at: time)
        return nil
      }
      region.entries.append(encoded)
      for leader in leaders { leader.applied(encoded.entry, state: region.state, at: time) }
      let events: [RegionEvent] = encoded.entry.events.compactMap { event in
        if case .region(let event) = event { event } else { nil }
      }
      leaders[index].answered(command, events: events, at: time)
      return nil
    } catch {
      leaders[index].answered(command, events: nil, at: time)
      return error
    }
  }

  mutating func lead(_ groups: GroupSet, by index: Int, ended: Bool = false) {
    let id = nextID()
    append(
      leaders[index].lead(
        groups, id: id, predecessorsEnded: ended, wallMilliseconds: wall,
        after: region.state.lastTime, at: time), by: index)
  }

  /// Lets a member do what is due.
  mutating func tick(_ index: Int) {
    var ids = (0..<2).map { _ in nextID() }
    let commands = leaders[index].tick(
      region.state, wallMilliseconds: wall, at: time, id: { ids.removeLast() })
    for command in commands { append(command, by: index) }
  }

  func next(
    _ count: Int = 1, of group: UInt64, by index: Int
  ) throws(GroupClockError) -> HybridTimestampBatch {
    try leaders[index].clocks.next(count, of: GroupID(group), wallMilliseconds: wall, at: time)
  }
}

import BenchSupport
import Catalog
import Glibc
import Replay
import StateMachines
import Synchronization

/// Measures what it costs to lead groups: renewals through a store on the disk, and timestamps.
struct RegionBench {
  let folder: String
  private let clocks: GroupClocks
  private let leader: RegionLeader
  private let store: RegionStore
  private let written = Written()

  private final class Written: Sendable {
    let entries = Atomic<Int>(0)
    let bytes = Atomic<Int>(0)
  }

  init(folder: String) throws {
    self.folder = folder
    let region = try Region("bench")
    let clocks = GroupClocks(member: try MemberName("bench"))
    let leader = RegionLeader(clocks, of: region, at: Self.time)
    let written = written
    self.clocks = clocks
    self.leader = leader
    store = try RegionStore.open(
      folder: folder, region: region, catalog: EntryMaker.catalog,
      wallMilliseconds: wallMilliseconds
    ) { entries, state in
      for encoded in entries {
        leader.applied(encoded.entry, state: state, at: Self.time)
        written.entries.add(1, ordering: .relaxed)
        written.bytes.add(encoded.bytes.count, ordering: .relaxed)
      }
    }
  }

  private static var time: MonotonicTime { MonotonicTime(nanoseconds: now()) }

  private static func id() -> CommandID {
    let bytes = (0..<16).map { _ in UInt8.random(in: 0...255) }
    guard let id = CommandID(bytes: bytes) else { preconditionFailure("16 bytes") }
    return id
  }

  private func submit(_ command: RegionCommand) {
    let leader = leader
    store.submit(command) { result in
      let events = (try? result.get())?.events
      leader.answered(command, events: events, at: Self.time)
    }
  }

  /// Lets the groups be led, in so many commands, and renews them for a while.
  func run(groups count: UInt64, commands: UInt64, seconds: Int) throws {
    let each = count / commands
    for index in 0..<commands {
      let run = GroupRun(GroupID(index * each + 1), through: GroupID((index + 1) * each))
      submit(
        leader.lead(
          GroupSet(run), id: Self.id(), predecessorsEnded: true,
          wallMilliseconds: wallMilliseconds(), after: store.current.lastTime, at: Self.time))
      // Taken up in many steps, as groups come to a node in life.
      if index % 1000 == 999 { tick() }
    }
    while store.current.ceilings.groupCount < count { usleep(10_000) }
    for _ in 0..<60 { tick() }
    // A timestamp of each group: its clock is there from now on.
    for group in 1...count {
      _ = try? clocks.next(
        1, of: GroupID(group), wallMilliseconds: wallMilliseconds(), at: Self.time)
    }
    for _ in 0..<60 { tick() }
    let before = (
      written.entries.load(ordering: .relaxed), written.bytes.load(ordering: .relaxed)
    )
    let start = Start()
    for _ in 0..<(seconds * 20) { tick() }
    let (wall, processor) = start.elapsed
    let entries = written.entries.load(ordering: .relaxed) - before.0
    let bytes = written.bytes.load(ordering: .relaxed) - before.1
    let percent = Double(processor) / Double(wall) * 100
    let perSecond = Double(entries) / Double(wall) * 1e9
    report(
      "region.renewal",
      [
        "groups": count, "leads": commands, "rate": (perSecond * 1000).rounded() / 1000,
        "bytes_each": bytes / max(1, entries),
        "cpu_percent_of_a_core": (percent * 1000).rounded() / 1000,
        "late": leader.counts.late,
      ], count: entries, unit: "entries", since: start, nil)
  }

  private func tick() {
    usleep(50_000)
    for command in leader.tick(
      store.current, wallMilliseconds: wallMilliseconds(), at: Self.time, id: Self.id)
    { submit(command) }
  }

  /// One call a timestamp, and batches, of one group and of many. With `isQuick` a hundredth of them.
  func timestamps(isQuick: Bool) throws {
    let wall = wallMilliseconds()
    // No more of one group than its window has room for: 65,536 a millisecond.
    for (batch, all, groups, first) in [
      (1, 20_000_000, 1, 1), (100, 1_000_000, 1, 2), (10_000, 10_000, 1, 3),
      (1, 5_000_000, 1000, 10),
    ] as [(Int, Int, Int, UInt64)] {
      let calls = isQuick ? all / 100 : all
      let kept = try clocks.clock(of: GroupID(first))
      var checksum: UInt64 = 0
      let start = Start()
      for call in 0..<calls {
        // Time stands still: the lease is as it was, and the counter moves on into milliseconds.
        let time = MonotonicTime(nanoseconds: kept.lead.endsAt.nanoseconds - 1)
        if groups == 1 {
          checksum ^= try kept.next(batch, wallMilliseconds: wall, at: time).first.rawValue
        } else {
          let group = GroupID(UInt64(call % groups) + first)
          checksum ^= try clocks.next(batch, of: group, wallMilliseconds: wall, at: time)
            .first.rawValue
        }
        // As the renewals would.
        if call % 1_000_000 == 0 { tickNow() }
      }
      report(
        "region.timestamps", ["batch": batch, "groups": groups, "checksum": checksum & 0xFFFF],
        count: calls * batch, unit: "timestamps", since: start, nil)
    }
    store.close()
  }

  private func tickNow() {
    for command in leader.tick(
      store.current, wallMilliseconds: wallMilliseconds(), at: Self.time, id: Self.id)
    { submit(command) }
  }
}

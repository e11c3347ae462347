import Catalog

/// The clocks of a region's groups: runs of groups whose clocks are alike, so that work on a hundred
/// thousand groups that one leader renews together costs what work on one does.
///
/// The runs ascend, do not overlap, and are as long as they can be. A value; a copy shares what does
/// not change as long as nothing does.
package struct CeilingTable: Hashable, Sendable {
  /// Groups one after the other whose clocks are alike.
  package struct Entry: Hashable, Sendable {
    package var groups: GroupRun
    package var clock: GroupClock

    package init(groups: GroupRun, clock: GroupClock) {
      self.groups = groups
      self.clock = clock
    }
  }

  package private(set) var entries: [Entry] = []
  /// The sum of the entries' records.
  package private(set) var digest = StateDigest.zero

  package init() {}

  /// What is on record of a group; nil when nothing is. O(log *n*) in the number of runs.
  package subscript(group: GroupID) -> GroupClock? {
    let index = firstIndex(endingAt: group)
    guard index < entries.count, entries[index].groups.contains(group) else { return nil }
    return entries[index].clock
  }

  /// How many groups have a clock here, `UInt64.max` at most.
  package var groupCount: UInt64 { GroupSet(entries.map(\.groups)).count }

  /// Tells `body` each run of `groups` whose clocks are alike, with the clock; without one the groups
  /// that have none. In ascending order. O(log *n* + *k*) for *k* runs and pieces.
  package func forEach<Failure: Error>(
    in groups: GroupSet, _ body: (GroupRun, GroupClock?) throws(Failure) -> Void
  ) throws(Failure) {
    guard let first = groups.runs.first else { return }
    var index = firstIndex(endingAt: first.first)
    for run in groups.runs {
      while index < entries.count, entries[index].groups.last < run.first { index += 1 }
      var next: GroupID? = run.first
      while let start = next {
        guard index < entries.count, entries[index].groups.first <= run.last else {
          try body(GroupRun(start, through: run.last), nil)
          break
        }
        let entry = entries[index]
        if start < entry.groups.first {
          try body(GroupRun(start, through: GroupID(entry.groups.first.rawValue - 1)), nil)
        }
        let end = min(entry.groups.last, run.last)
        try body(GroupRun(max(start, entry.groups.first), through: end), entry.clock)
        // The same entry may have a part of the next run as well.
        if entry.groups.last <= run.last { index += 1 }
        next = end < run.last ? end.next : nil
      }
    }
  }

  /// Gives each group of `groups` the clock that `change` makes of the one that it has. All or
  /// nothing. O(log *n* + *k*), and a move of the entries behind when their number changes.
  mutating func update<Failure: Error>(
    _ groups: GroupSet,
    _ change: (GroupRun, GroupClock?) throws(Failure) -> GroupClock
  ) throws(Failure) {
    guard let first = groups.runs.first, let last = groups.runs.last else { return }
    // With the neighbours on both sides, which may become one with what is made.
    let start = max(0, firstIndex(endingAt: first.first) - 1)
    var end = start
    while end < entries.count, entries[end].groups.first <= last.last { end += 1 }
    if end < entries.count { end += 1 }
    var changed: [Entry] = []
    try forEach(in: groups) { (run, clock) throws(Failure) in
      changed.append(Entry(groups: run, clock: try change(run, clock)))
    }
    replace(start..<end, with: Self.merge(kept(of: start..<end, beside: groups), changed))
  }

  /// The parts of entries that are not of `groups`.
  private func kept(of range: Range<Int>, beside groups: GroupSet) -> [Entry] {
    var kept: [Entry] = []
    var gone = groups.runs[...]
    for entry in entries[range] {
      var next: GroupID? = entry.groups.first
      while let first = next {
        while let hole = gone.first, hole.last < first { gone.removeFirst() }
        guard let hole = gone.first, hole.first <= entry.groups.last else {
          kept.append(
            Entry(groups: GroupRun(first, through: entry.groups.last), clock: entry.clock))
          break
        }
        if first < hole.first {
          let last = GroupID(hole.first.rawValue - 1)
          kept.append(Entry(groups: GroupRun(first, through: last), clock: entry.clock))
        }
        next = hole.last < entry.groups.last ? hole.last.next : nil
      }
    }
    return kept
  }

  /// Both, in ascending order; what meets and is alike becomes one.
  private static func merge(_ left: [Entry], _ right: [Entry]) -> [Entry] {
    var made: [Entry] = []
    made.reserveCapacity(left.count + right.count)
    var (left, right) = (left[...], right[...])
    while true {
      let isLeft: Bool
      switch (left.first, right.first) {
      case (nil, nil): return made
      case (_?, nil): isLeft = true
      case (nil, _?): isLeft = false
      case (let a?, let b?): isLeft = a.groups.first < b.groups.first
      }
      let entry = isLeft ? left.removeFirst() : right.removeFirst()
      if let last = made.last, last.clock == entry.clock, last.groups.meets(entry.groups) {
        made[made.count - 1].groups = GroupRun(last.groups.first, through: entry.groups.last)
      } else {
        made.append(entry)
      }
    }
  }

  /// Puts entries in the place of others, and keeps the digest: hashes what differs.
  private mutating func replace(_ range: Range<Int>, with made: [Entry]) {
    var (old, new) = (entries[range], made[...])
    while let a = old.first ?? new.first {
      let b = new.first ?? a
      let first = min(a.groups.first, b.groups.first)
      let gone = old.first.flatMap { $0.groups.first == first ? $0 : nil }
      let come = new.first.flatMap { $0.groups.first == first ? $0 : nil }
      if gone != nil { old.removeFirst() }
      if come != nil { new.removeFirst() }
      guard gone != come else { continue }
      if let gone { digest -= gone.recordDigest }
      if let come { digest += come.recordDigest }
    }
    entries.replaceSubrange(range, with: made)
  }

  /// The first entry whose last group is not before `group`. O(log *n*).
  private func firstIndex(endingAt group: GroupID) -> Int {
    var (low, high) = (0, entries.count)
    while low < high {
      let middle = low + (high - low) / 2
      if entries[middle].groups.last < group { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Takes entries over that come in their order; nil when they overlap, or are not as long as they
  /// can be. O(*n*).
  package init?(_ entries: [Entry]) {
    for (left, right) in zip(entries, entries.dropFirst()) {
      guard left.groups.last < right.groups.first,
        left.clock != right.clock || !left.groups.meets(right.groups)
      else { return nil }
    }
    self.entries = entries
    for entry in entries { digest += entry.recordDigest }
  }
}

extension CeilingTable {
  /// The groups that a member leads, by the term in which it does. O(*n*) in the number of runs.
  package func led(by member: MemberName) -> [Term: GroupSet] {
    var result: [Term: GroupSet] = [:]
    for entry in entries {
      guard case .led(member, _, _, _) = entry.clock.standing else { continue }
      result[entry.clock.term, default: GroupSet()].append(entry.groups)
    }
    return result
  }
}

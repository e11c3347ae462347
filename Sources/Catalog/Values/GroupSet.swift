/// Groups with consecutive ids, at least one.
package struct GroupRun: Hashable, Sendable {
  package let first: GroupID
  package let last: GroupID

  /// - Precondition: `first` is not after `last`.
  package init(_ first: GroupID, through last: GroupID) {
    precondition(first <= last, "a run has at least one group")
    self.first = first
    self.last = last
  }

  package init(_ group: GroupID) { self.init(group, through: group) }

  /// How many groups there are; `UInt64.max` should it be all of them, which are one more.
  package var count: UInt64 {
    let (count, overflow) = (last.rawValue - first.rawValue).addingReportingOverflow(1)
    return overflow ? .max : count
  }

  package func contains(_ group: GroupID) -> Bool { first <= group && group <= last }

  /// The groups that are in both; nil when there are none.
  package func intersection(_ other: GroupRun) -> GroupRun? {
    let (first, last) = (max(first, other.first), min(last, other.last))
    return first <= last ? GroupRun(first, through: last) : nil
  }

  /// Whether `next` begins with the id after the last one here.
  package func meets(_ next: GroupRun) -> Bool {
    last.rawValue < .max && last.rawValue + 1 == next.first.rawValue
  }
}

extension GroupRun: CustomStringConvertible {
  /// `7`, or `7...9`.
  package var description: String { first == last ? "\(first)" : "\(first)...\(last)" }
}

/// A set of groups as runs of consecutive ids: a hundred thousand groups that were made one after
/// the other take as much room as one.
///
/// Has one form: the runs ascend, and between two of them there is at least one id.
package struct GroupSet: Hashable, Sendable {
  package private(set) var runs: [GroupRun] = []

  package init() {}

  package init(_ run: GroupRun) { runs = [run] }

  /// Takes runs in any order, that may overlap. O(*n* log *n*).
  package init(_ runs: some Sequence<GroupRun>) {
    for run in runs.sorted(by: { $0.first < $1.first }) { append(run) }
  }

  package init(groups: some Sequence<GroupID>) { self.init(groups.map { GroupRun($0) }) }

  /// Takes runs in the one form that there is; nil when they are in another.
  package init?(canonical runs: [GroupRun]) {
    for (left, right) in zip(runs, runs.dropFirst()) {
      guard left.last < right.first, !left.meets(right) else { return nil }
    }
    self.runs = runs
  }

  package var isEmpty: Bool { runs.isEmpty }

  /// How many groups there are, at most `UInt64.max`.
  package var count: UInt64 {
    runs.reduce(0) { sum, run in
      let (next, overflow) = sum.addingReportingOverflow(run.count)
      return overflow ? .max : next
    }
  }

  /// O(log *n*) in the number of runs.
  package func contains(_ group: GroupID) -> Bool { run(endingAt: group)?.contains(group) ?? false }

  /// The first run that does not end before `group`.
  private func run(endingAt group: GroupID) -> GroupRun? {
    var (low, high) = (0, runs.count)
    while low < high {
      let middle = low + (high - low) / 2
      if runs[middle].last < group { low = middle + 1 } else { high = middle }
    }
    return low < runs.count ? runs[low] : nil
  }

  /// Whether all groups are in `other` as well. O(*n* log *m*) in the numbers of runs.
  package func isSubset(of other: GroupSet) -> Bool {
    runs.allSatisfy { run in
      guard let holder = other.run(endingAt: run.first) else { return false }
      return holder.first <= run.first && run.last <= holder.last
    }
  }

  /// Adds a run that starts no earlier than the last one here. O(1).
  ///
  /// - Precondition: It does not.
  package mutating func append(_ run: GroupRun) {
    guard let last = runs.last else { return runs.append(run) }
    precondition(last.first <= run.first, "runs are appended in ascending order")
    if run.first <= last.last || last.meets(run) {
      runs[runs.count - 1] = GroupRun(last.first, through: max(last.last, run.last))
    } else {
      runs.append(run)
    }
  }

  /// The groups of both. O(*n* log *n*) in the number of runs.
  package func union(_ other: GroupSet) -> GroupSet {
    if isEmpty { return other }
    return other.isEmpty ? self : GroupSet(runs + other.runs)
  }

  /// The groups that are here and in `other`. O(*n* + *m*) in the numbers of runs.
  package func intersection(_ other: GroupSet) -> GroupSet {
    var result = GroupSet()
    var (left, right) = (runs[...], other.runs[...])
    while let a = left.first, let b = right.first {
      if let common = a.intersection(b) { result.append(common) }
      if a.last < b.last { left.removeFirst() } else { right.removeFirst() }
    }
    return result
  }

  /// The groups that are here and not in `other`. O(*n* + *m*) in the numbers of runs.
  package func subtracting(_ other: GroupSet) -> GroupSet {
    var result = GroupSet()
    var gone = other.runs[...]
    for run in runs {
      var next: GroupID? = run.first
      while let first = next {
        while let hole = gone.first, hole.last < first { gone.removeFirst() }
        guard let hole = gone.first, hole.first <= run.last else {
          result.append(GroupRun(first, through: run.last))
          break
        }
        if first < hole.first {
          result.append(GroupRun(first, through: GroupID(hole.first.rawValue - 1)))
        }
        next = hole.last < run.last ? hole.last.next : nil
      }
    }
    return result
  }
}

extension GroupSet: CustomStringConvertible {
  /// `1...4,7`; `none` for no groups.
  package var description: String {
    runs.isEmpty ? "none" : runs.map(\.description).joined(separator: ",")
  }

  /// Reads what ``description`` writes, and runs in any order; `1-4` does for `1...4`. nil when it
  /// is not of that form, or has no groups.
  package init?(text: some StringProtocol) {
    var runs: [GroupRun] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let digits = part.prefix { $0.isNumber }
      let rest = part.dropFirst(digits.count)
      let separator = ["...", "-"].first { rest.hasPrefix($0) } ?? ""
      guard let first = UInt64(digits),
        let last = rest.isEmpty ? first : UInt64(rest.dropFirst(separator.count)),
        rest.isEmpty || !separator.isEmpty, first <= last
      else { return nil }
      runs.append(GroupRun(GroupID(first), through: GroupID(last)))
    }
    self.init(runs)
  }
}

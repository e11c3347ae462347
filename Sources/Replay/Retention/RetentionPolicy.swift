import Catalog

/// What of the past is kept, and for how long: checkpoints ever fewer the older they are, and the
/// entries of the log.
///
/// A version that the log reaches can be opened whatever the checkpoints are; fewer of them make that
/// slower. A version before the log's first entry is gone.
package struct RetentionPolicy: Hashable, Sendable {
  /// For so long every checkpoint is kept,
  package var everyCheckpoint: Duration = .hours(24)
  /// then for so long after its time the first of each hour,
  package var hourly: Duration = .hours(7 * 24)
  /// then the first of each day,
  package var daily: Duration = .hours(90 * 24)
  /// then the first of each week; nil: for ever.
  package var weekly: Duration?
  /// For so long the log's entries are kept, and what leads to the first of them; nil: for ever.
  package var log: Duration?

  package init() {}

  /// Nothing is ever removed.
  package static let everything: RetentionPolicy = {
    var policy = RetentionPolicy()
    policy.everyCheckpoint = .hours(24 * 365 * 1_000)
    return policy
  }()

  /// A checkpoint as the policy looks at it.
  package struct Checkpoint: Hashable, Sendable {
    package var version: CatalogVersion
    package var position: LogPosition
    /// The time of its state's last entry.
    package var time: HybridTimestamp

    package init(version: CatalogVersion, position: LogPosition, time: HybridTimestamp) {
      self.version = version
      self.position = position
      self.time = time
    }
  }

  /// What is to go.
  package struct Plan: Hashable, Sendable {
    /// Versions of checkpoints, ascending.
    package var dropped: [CatalogVersion] = []
    /// The version that the log will begin after; nil when it goes on to begin where it does.
    package var base: CatalogVersion?

    package init(dropped: [CatalogVersion] = [], base: CatalogVersion? = nil) {
      self.dropped = dropped
      self.base = base
    }
  }

  /// What is to go of these checkpoints, which ascend, and of the log that begins after the version
  /// `base`. A pure function; a clock that went back keeps more.
  ///
  /// The newest checkpoint stays, and so does the one that the log begins after: all that are older
  /// go with the entries that led on from them. Of those between, each hour, day or week keeps its
  /// first, so that what is kept by the week was kept by the day before.
  ///
  /// - Complexity: O(*n*) in the number of checkpoints.
  package func plan(
    _ checkpoints: [Checkpoint], base: CatalogVersion, nowMilliseconds now: UInt64
  ) -> Plan {
    var plan = Plan()
    var first = base
    if let log {
      let horizon = now - min(now, log.retentionMilliseconds)
      let newest = checkpoints.last { $0.time.milliseconds <= horizon }
      if let newest, newest.version > base {
        plan.base = newest.version
        first = newest.version
      }
    }
    var seen: Set<Bucket> = []
    for checkpoint in checkpoints {
      let isNeeded = checkpoint.version == first || checkpoint.version == checkpoints.last?.version
      // Whether it is the first does not depend on how old the others are: that changes by the hour.
      let new = Bucket.all(of: checkpoint).filter { seen.insert($0).inserted }
      let isFirst = bucket(of: checkpoint, now: now).map(new.contains) ?? false
      let isKept = checkpoint.version >= first && (isNeeded || isFirst)
      if !isKept { plan.dropped.append(checkpoint.version) }
    }
    return plan
  }

  private enum Bucket: Hashable {
    case own(CatalogVersion)
    case hour(UInt64)
    case day(UInt64)
    case week(UInt64)

    static func all(of checkpoint: Checkpoint) -> [Bucket] {
      let hours = checkpoint.time.milliseconds / 3_600_000
      return [.own(checkpoint.version), .hour(hours), .day(hours / 24), .week(hours / 24 / 7)]
    }
  }

  /// Of the checkpoints in the same bucket one is kept; nil: not for its own sake.
  private func bucket(of checkpoint: Checkpoint, now: UInt64) -> Bucket? {
    let age = now - min(now, checkpoint.time.milliseconds)
    let buckets = Bucket.all(of: checkpoint)
    if age <= everyCheckpoint.retentionMilliseconds { return buckets[0] }
    if age <= hourly.retentionMilliseconds { return buckets[1] }
    if age <= daily.retentionMilliseconds { return buckets[2] }
    return age <= weekly?.retentionMilliseconds ?? .max ? buckets[3] : nil
  }
}

extension RetentionPolicy: CustomStringConvertible {
  /// The policy in words, as a trim marker has it.
  package var description: String {
    let log = log.map { "the log for \($0.retentionText)" } ?? "the log for ever"
    let weekly = weekly.map { "one a week for \($0.retentionText)" } ?? "one a week for ever"
    return "keep \(log); every checkpoint for \(everyCheckpoint.retentionText), one an hour for "
      + "\(hourly.retentionText), one a day for \(daily.retentionText), \(weekly)"
  }
}

extension Duration {
  /// So many hours.
  package static func hours(_ count: Int64) -> Duration { .seconds(count * 3600) }

  /// Whole milliseconds, none for what is negative.
  fileprivate var retentionMilliseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1000)
    return overflow ? .max : product &+ UInt64(attoseconds / 1_000_000_000_000_000)
  }

  /// In the largest unit that makes a whole number.
  fileprivate var retentionText: String {
    let milliseconds = retentionMilliseconds
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")]
    where milliseconds % UInt64(unit) == 0 {
      return "\(milliseconds / UInt64(unit))\(name)"
    }
    return "\(milliseconds)ms"
  }
}

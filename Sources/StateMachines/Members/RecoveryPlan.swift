import Catalog

/// What is to become of the routes of a lost region: which of them go where, in which order, and what
/// may be lost. Made from a state and changing nothing; carried out step by step, each step fenced.
package struct RecoveryPlan: Hashable, Sendable {
  /// The format that is written, and the newest that is read.
  package static let format: UInt64 = 1
  /// How many routes a step moves at most.
  package static let stepCount = 20_000

  package var catalog: CatalogID
  package var region: Region
  package var epoch: UInt64
  /// What it was made from: the state after this entry.
  package var version: CatalogVersion
  package var position: LogPosition
  package var hash: EntryHash
  package var digest: StateDigest
  /// In the order in which they are carried out.
  package var steps: [[Move]]
  /// The routes for which there is no group, and why; at most ``maximumStrandedCount`` of them.
  package var stranded: [Stranded]
  package var strandedCount: UInt64
  package var streams: [StreamExtent]

  package static let maximumStrandedCount = 1000

  /// Routes of one group that go to another, elsewhere.
  package struct Move: Hashable, Sendable {
    package var from: GroupID
    package var to: GroupID
    /// The home of the group that they go to; nil when it has none.
    package var region: Region?
    /// Ascending runs of ids, both ends included.
    package var routes: [ClosedRange<UInt64>]

    package init(
      from: GroupID, to: GroupID, region: Region?, routes: [ClosedRange<UInt64>]
    ) {
      self.from = from
      self.to = to
      self.region = region
      self.routes = routes
    }

    /// How many routes go.
    package var count: Int { routes.reduce(0) { $0 + $1.count } }
  }

  package struct Stranded: Hashable, Sendable {
    package var route: RouteID
    package var allowed: [Region]

    package init(route: RouteID, allowed: [Region]) {
      self.route = route
      self.allowed = allowed
    }
  }

  /// How far a stream is known here. What the region did after that, up to its loss, may be lost.
  package struct StreamExtent: Hashable, Sendable {
    package var name: String
    /// The last entry that is known here, and its time; nil when nothing of the stream is.
    package var position: LogPosition?
    package var time: HybridTimestamp?
    /// How far it is known to have come, where that is further: the entries in between were heard of,
    /// and are not here.
    package var heard: LogPosition?

    package init(
      name: String, position: LogPosition?, time: HybridTimestamp?, heard: LogPosition? = nil
    ) {
      self.name = name
      self.position = position
      self.time = time
      self.heard = heard
    }

    /// That of the stream of a region; without a position nothing of it is known.
    package init(
      of region: Region, position: LogPosition? = nil, time: HybridTimestamp? = nil,
      heard: LogPosition? = nil
    ) {
      self.init(name: "region \(region)", position: position, time: time, heard: heard)
    }
  }

  package init(
    catalog: CatalogID, region: Region, epoch: UInt64, version: CatalogVersion,
    position: LogPosition, hash: EntryHash, digest: StateDigest, steps: [[Move]],
    stranded: [Stranded], strandedCount: UInt64, streams: [StreamExtent]
  ) {
    self.catalog = catalog
    self.region = region
    self.epoch = epoch
    self.version = version
    self.position = position
    self.hash = hash
    self.digest = digest
    self.steps = steps
    self.stranded = stranded
    self.strandedCount = strandedCount
    self.streams = streams
  }

  /// How many routes the plan moves.
  package var routeCount: Int { steps.reduce(0) { $0 + $1.reduce(0) { $0 + $1.count } } }

  /// Names the plan: the hash of all that it says of routes, and of what it was made from. O(*n*).
  package var name: EntryHash {
    var bytes = Array("cadastre/plan/1".utf8) + catalog.bytes + Array(region.name.utf8) + [0]
    func add(_ number: UInt64) {
      withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }
    add(epoch)
    add(version.rawValue)
    add(position.rawValue)
    bytes += hash.bytes + digest.bytes
    add(UInt64(steps.count))
    for step in steps {
      add(UInt64(step.count))
      for move in step {
        add(move.from.rawValue)
        add(move.to.rawValue)
        add(UInt64(move.routes.count))
        for run in move.routes {
          add(run.lowerBound)
          add(run.upperBound)
        }
      }
    }
    return bytes.withUnsafeBytes(EntryHash.init(of:))
  }

  /// The command's part for one step, `named` being ``name``. O(*m*) for *m* routes.
  package func step(_ index: Int, named: EntryHash) -> PromotionStep {
    PromotionStep(
      region: region, epoch: epoch, plan: named, version: version, step: UInt64(index),
      steps: UInt64(steps.count),
      moves: steps[index].map { move in
        PromotionMove(
          from: move.from, to: move.to, routes: move.routes.flatMap { $0.map { RouteID($0) } })
      })
  }
}

extension CatalogState {
  /// Plans the promotion of a lost region's soft-failed routes, all or those within some spans.
  ///
  /// A route goes to a group whose home it is allowed in: in the first region of the lost one's leader
  /// preference that is up and has groups, then in the others by name, there to the group with the
  /// fewest routes. Routes of one group with the same demands stay together.
  ///
  /// `stream` is how far the lost region's own stream is known, by whoever mirrors it.
  ///
  /// - Throws: ``MembershipRefusal`` when the region is not lost, or not all of its routes are
  ///   soft-failed yet.
  /// - Complexity: O(*n* log *n*) for *n* routes of the region and groups with homes.
  package func recoveryPlan(
    for region: Region, within spans: [KeySpan]? = nil,
    stream: RecoveryPlan.StreamExtent? = nil
  ) throws(MembershipRefusal) -> RecoveryPlan {
    let record = try known(region)
    guard record.status == .lost else { throw .regionNotLost(region, record.status) }
    guard record.sweep.isDone else { throw .notSwept(region) }
    var targets = PromotionTargets(self, for: record)
    var plan = RecoveryPlan(
      catalog: catalog, region: region, epoch: record.epoch, version: version,
      position: appliedThrough, hash: lastHash, digest: digest, steps: [], stranded: [],
      strandedCount: 0,
      streams: [
        RecoveryPlan.StreamExtent(name: "catalog", position: appliedThrough, time: lastTime),
        stream ?? RecoveryPlan.StreamExtent(of: region),
      ])
    var step: [RecoveryPlan.Move] = []
    var count = 0
    for group in membership.groups(in: region) {
      // For each set of allowed regions one target, and the runs of ids that go there.
      var chosen: [[Region]: GroupID?] = [:]
      routes.forEachRoute(of: group) { route in
        guard route.state == .softFailed else { return true }
        if let spans, !spans.contains(where: { $0.contains(route.span) }) { return true }
        let target: GroupID?
        if let known = chosen[route.allowedRegions] {
          target = known
        } else {
          target = targets.choose(for: route.allowedRegions)
          chosen[route.allowedRegions] = .some(target)
        }
        guard let target else {
          plan.strandedCount += 1
          if plan.stranded.count < RecoveryPlan.maximumStrandedCount {
            plan.stranded.append(
              RecoveryPlan.Stranded(route: route.id, allowed: route.allowedRegions))
          }
          return true
        }
        targets.add(1, to: target)
        step.add(route.id, from: group, to: target, in: membership.home(of: target))
        count += 1
        if count == RecoveryPlan.stepCount {
          plan.steps.append(step)
          (step, count) = ([], 0)
        }
        return true
      }
    }
    if !step.isEmpty { plan.steps.append(step) }
    return plan
  }
}

extension [RecoveryPlan.Move] {
  /// Adds a route, whose id is above that of the last one from its group.
  fileprivate mutating func add(
    _ route: RouteID, from: GroupID, to: GroupID, in region: Region?
  ) {
    let id = route.rawValue
    var index = endIndex
    // The moves of one group stand together, at the end.
    while index > startIndex, self[index - 1].from == from {
      index -= 1
      guard self[index].to == to else { continue }
      if let last = self[index].routes.last, last.upperBound + 1 == id {
        self[index].routes[self[index].routes.count - 1] = last.lowerBound...id
      } else {
        self[index].routes.append(id...id)
      }
      return
    }
    append(RecoveryPlan.Move(from: from, to: to, region: region, routes: [id...id]))
  }
}

extension KeySpan {
  /// Whether all keys of another span lie in this one.
  fileprivate func contains(_ other: KeySpan) -> Bool {
    guard lower <= other.lower else { return false }
    guard let upper else { return true }
    return other.upper.map { $0 <= upper } ?? false
  }
}

/// Where routes of a lost region may go, with how many routes each group has by now.
private struct PromotionTargets {
  /// The regions in the order of preference, with their groups.
  private var regions: [(region: Region, groups: [GroupID])] = []
  private var load: [GroupID: Int] = [:]

  init(_ state: CatalogState, for lost: RegionStanding) {
    let up = state.membership.regions.filter { !$0.status.isFenced && $0.region != lost.region }
      .map(\.region)
    let order =
      lost.leaderPreference.filter { up.contains($0) }
      + up.filter { !lost.leaderPreference.contains($0) }
    for region in order {
      let groups = state.membership.groups(in: region)
      if !groups.isEmpty { regions.append((region, groups)) }
    }
    for group in regions.flatMap(\.groups) { load[group] = state.routes.routeCount(of: group) }
  }

  /// The group for routes with these allowed regions; nil when there is none.
  func choose(for allowed: [Region]) -> GroupID? {
    for (region, groups) in regions where allowed.isEmpty || allowed.contains(region) {
      return groups.min { (load[$0] ?? 0, $0.rawValue) < (load[$1] ?? 0, $1.rawValue) }
    }
    return nil
  }

  mutating func add(_ count: Int, to group: GroupID) { load[group, default: 0] += count }
}

extension RouteTable {
  /// How many routes a group has. O(*m* log *n*).
  fileprivate func routeCount(of group: GroupID) -> Int {
    var count = 0
    forEachRoute(of: group) { _ in
      count += 1
      return true
    }
    return count
  }
}

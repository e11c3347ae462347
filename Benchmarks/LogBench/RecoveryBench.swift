import BenchSupport
import Catalog
import Glibc
import Replay
import StateMachines

/// Measures what it takes from the loss of a region to all of its routes being promoted: the loss, the
/// sweep that soft-fails them, the plan, and its steps, each entry synced to the disk.
struct RecoveryBench {
  let folder: String
  let routeCount: Int
  private static let sweepCount = 50_000
  private var number: UInt64 = 0

  init(folder: String, routeCount: Int) {
    self.folder = folder
    self.routeCount = routeCount
  }

  private mutating func carryOut(_ change: MembershipChange, in store: CatalogStore) throws {
    number += 1
    try submit(EntryMaker.command(number, .membership(change)), to: store)
  }

  mutating func run() throws {
    let store = try CatalogStore.create(
      folder: folder, catalog: EntryMaker.catalog, wallMilliseconds: wallMilliseconds)
    defer { store.close() }
    try submit(EntryMaker.bootstrap(routeCount: routeCount), to: store)
    let (lost, other) = (try Region("lost"), try Region("other"))
    let groups = Set(store.current.routes.routes(overlapping: .all, limit: 100_000).map(\.group))
    try carryOut(.enable(.members), in: store)
    try carryOut(
      .setHomes(groups.sorted(), lost, evenIfViolating: false), in: store)
    let last = groups.map(\.rawValue).max() ?? 0
    try carryOut(
      .setHomes((1...100).map { GroupID(last + $0) }, other, evenIfViolating: false),
      in: store)

    let start = Start()
    try carryOut(.declareLost(lost), in: store)
    let sweep = Start()
    while let record = store.current.membership.region(lost), !record.sweep.isDone {
      try carryOut(
        .sweep(lost, epoch: record.epoch, limit: Self.sweepCount), in: store)
    }
    report(
      "recovery.sweep", [:], count: routeCount, unit: "routes",
      since: sweep, nil)
    let planning = Start()
    let plan = try store.current.recoveryPlan(for: lost)
    let name = plan.name
    report(
      "recovery.plan", ["steps": plan.steps.count], count: plan.routeCount, unit: "routes",
      since: planning, nil)
    let applying = Start()
    for index in plan.steps.indices {
      try carryOut(.promote(plan.step(index, named: name)), in: store)
    }
    report(
      "recovery.apply", ["steps": plan.steps.count], count: plan.routeCount, unit: "routes",
      since: applying, nil)
    let promoted = store.current.membership.region(lost)?.promoted ?? 0
    report(
      "recovery", ["promoted": promoted], count: routeCount,
      unit: "routes", since: start, nil)
  }
}

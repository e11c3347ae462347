import Catalog
import Glibc
import StateMachines

extension Repairer {
  /// Looks at every checkpoint; makes those anew that are damaged, and those after them, from the
  /// last one that is whole and the log. The one that the log begins after comes from the peer.
  ///
  /// - Precondition: The log is whole, but for that checkpoint.
  func repairCheckpoints(
    dryRun: Bool, _ report: inout RepairReport
  ) throws(StoreError) {
    let place = folder + "/" + CheckpointStore.folderName
    let base: BaseHeader?
    let isBaseHere: Bool
    let catalog: CatalogID
    do {
      let damaged = try DamagedLog(folder: folder)
      base = try damaged.base()
      isBaseHere = damaged.baseRoot() != nil
      catalog = damaged.catalog
    }
    guard isBaseHere || access(place + "/data.mdb", F_OK) == 0 else { return }
    var good: [CheckpointRoot] = []
    do throws(StoreError) {
      let checkpoints = try CheckpointStore.open(folder: folder, mode: .readOnly, catalog: catalog)
      guard let checkpoints else { throw .noLog(folder: place) }
      let log = try EventLog.open(folder: folder, mode: .readOnly, provesEnd: false)
      for row in try checkpoints.rootRows() {
        if report.damagedCheckpoints.isEmpty, let root = row.root,
          (try? checkpoints.prove(root, since: good.last)) != nil,
          try log.agreement(with: root) != .other
        {
          good.append(root)
        } else {
          report.damagedCheckpoints.append(row.version)
        }
      }
    } catch {
      switch error {
      case .permissionDenied, .newerFormat, .inUse, .openForReading: throw error
      default: report.lostCheckpoints = error.problem
      }
    }
    if let base, isBaseHere, !good.contains(where: { $0.version == base.version }),
      !report.damagedCheckpoints.contains(base.version)
    {
      report.damagedCheckpoints.insert(base.version, at: 0)
    }
    guard !dryRun, !report.damagedCheckpoints.isEmpty || report.lostCheckpoints != nil else {
      return
    }
    if report.lostCheckpoints != nil { good = [] }
    try remake(after: good, base: isBaseHere ? base : nil, catalog, &report)
  }

  /// Makes a new file, which takes the place of the old one when all is in it: before that the
  /// folder has what it had.
  private func remake(
    after good: [CheckpointRoot], base: BaseHeader?, _ catalog: CatalogID,
    _ report: inout RepairReport
  ) throws(StoreError) {
    var fetched: CatalogState?
    if let base, !good.contains(where: { $0.version == base.version }) {
      fetched = try salvage(base, of: catalog, &report)
      if fetched == nil { fetched = try fetchBase(base, of: catalog, &report) }
    }
    let work = folder + "/" + Self.workFolderName
    let (draft, place) = (
      work + "/" + CheckpointStore.folderName, folder + "/" + CheckpointStore.folderName
    )
    removeWork()
    try Folder.make(draft)
    if !good.isEmpty {
      let old = try CheckpointStore.open(folder: folder, mode: .readOnly, catalog: catalog)
      guard let old else { throw .unusable(reason: "no checkpoints here") }
      try old.environment.copy(to: draft)
    }
    try fill(work, after: good, with: fetched, catalog, &report)
    try Folder.make(place)
    if report.lostCheckpoints != nil {
      unlink(place + "/data.mdb" + Self.asideSuffix)
      _ = link(place + "/data.mdb", place + "/data.mdb" + Self.asideSuffix)
    }
    guard rename(draft + "/data.mdb", place + "/data.mdb") == 0 else {
      throw .system(operation: "rename to \(place)", code: errno, message: errorText(errno))
    }
    // It counts the transactions of the file that is gone.
    unlink(place + "/lock.mdb")
    try Folder.sync(place)
    removeWork()
  }

  /// Puts all checkpoints that there are to be into a copy of those that there were.
  private func fill(
    _ work: String, after good: [CheckpointRoot], with fetched: CatalogState?,
    _ catalog: CatalogID, _ report: inout RepairReport
  ) throws(StoreError) {
    let opened = try CheckpointStore.open(folder: work, mode: .readWrite, catalog: catalog)
    guard let checkpoints = opened else { throw .unusable(reason: "no checkpoints here") }
    // A list of what died that is damaged would keep nodes for ever; without good ones all is new.
    if !good.isEmpty {
      for version in report.damagedCheckpoints.reversed() { try checkpoints.dropRoot(version) }
    }
    var start = StartingPoint(state: fetched ?? CatalogState(catalog: catalog))
    if let last = good.last {
      let (state, nodes) = try checkpoints.loadNodes(of: last)
      start = StartingPoint(state: state, root: last, nodes: nodes)
    }
    var writer = CheckpointWriter(after: start, in: checkpoints) { () throws(StoreError) in nil }
    var state = start.state
    if fetched != nil, try writer.checkpoint(state).isNew {
      report.remadeCheckpoints.append(state.version)
    }
    let log = try EventLog.open(folder: folder, mode: .readOnly, provesEnd: false)
    var versions = report.damagedCheckpoints
    if report.lostCheckpoints != nil, let newest = try log.writtenHead()?.version {
      versions.append(newest)
    }
    for version in versions where version > state.version {
      guard let position = try log.position(of: version) else { continue }
      try Replayer(log).replay(onto: &state, through: position)
      if try writer.checkpoint(state).isNew { report.remadeCheckpoints.append(version) }
    }
  }

  /// The state that a log begins after, of what can be read of its damaged checkpoint and what the peer
  /// has of the rest, proven by the header's digest; nil where that leads nowhere.
  private func salvage(
    _ base: BaseHeader, of catalog: CatalogID, _ report: inout RepairReport
  ) throws(StoreError) -> CatalogState? {
    guard report.lostCheckpoints == nil,
      let checkpoints = try CheckpointStore.open(
        folder: folder, mode: .readOnly, catalog: catalog),
      let root = try checkpoints.root(atOrBefore: base.version),
      root.header == base.state(of: catalog)
    else { return nil }
    let salvaged = try? checkpoints.read(root) { (table) throws(StoreError) in
      try table.salvage()
    }
    guard let salvaged, !salvaged.routes.isEmpty else { return nil }
    var found: [Route] = []
    for span in salvaged.missing {
      guard let routes = try? peer.routes(overlapping: span, at: base.version) else { return nil }
      found += routes
    }
    let members = (try? checkpoints.members(of: root)) ?? []
    let state = try? CatalogState(
      restoring: base.state(of: catalog), routes: salvaged.completed(with: found),
      membership: members)
    guard let state else { return nil }
    report.hasFetchedBase = !found.isEmpty
    report.fetchedRouteCount = UInt64(found.count)
    return state
  }
}

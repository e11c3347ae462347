import Catalog
import StateMachines

/// Where a repair gets what is damaged here: another copy of the same log. Nothing that it hands out
/// is believed; all of it is proven against the chain.
package protocol RepairPeer {
  /// What to call it in reports.
  var name: String { get }

  func catalog() throws(StoreError) -> CatalogID

  /// The first entry that it has, and where its log ends.
  func extent() throws(StoreError) -> (first: LogPosition, end: EventLog.Tail)

  /// The entries after a position, up to one: at least one, perhaps fewer than asked for.
  func entries(
    after position: LogPosition, through last: LogPosition
  ) throws(StoreError) -> [EncodedEntry]

  /// What a state is made of: all routes, in key order, and the records of its membership.
  func contents(
    of header: StateHeader
  ) throws(StoreError) -> (routes: [Route], membership: [UInt8])

  /// The routes that overlap a span at a version, in key order.
  func routes(
    overlapping span: KeySpan, at version: CatalogVersion
  ) throws(StoreError) -> [Route]

  /// The commands that it knows up to a position. These nothing proves; they are asked for only where
  /// what was known here cannot be read.
  func commands(through last: LogPosition) throws(StoreError) -> CommandWindow

  /// A state that a log can begin after where the peer's own does not begin with the first entry; nil
  /// where it does.
  func beginning() throws(StoreError) -> CatalogState?
}

/// A peer's log in a folder.
package struct FolderPeer: RepairPeer, Sendable {
  private let log: EventLog

  package var name: String { log.folder }

  /// - Throws: ``StoreError`` when there is no log.
  package init(folder: String) throws(StoreError) {
    log = try EventLog.open(folder: folder, mode: .readOnly, provesEnd: false)
  }

  package func catalog() throws(StoreError) -> CatalogID { log.catalog }

  package func extent() throws(StoreError) -> (first: LogPosition, end: EventLog.Tail) {
    (try log.firstPosition(), try log.tail())
  }

  package func entries(
    after position: LogPosition, through last: LogPosition
  ) throws(StoreError) -> [EncodedEntry] {
    guard last > position else { return [] }
    let count = Int(min(last.rawValue - position.rawValue, 4_096))
    return try log.entries(from: position.next, maxCount: count, maxBytes: 16 << 20)
  }

  package func contents(
    of header: StateHeader
  ) throws(StoreError) -> (routes: [Route], membership: [UInt8]) {
    var replayer = Replayer(log)
    replayer.checkpoints = try CheckpointStore.open(
      folder: log.folder, mode: .readOnly, catalog: log.catalog)
    let state: CatalogState
    // The version alone does not tell: notes and members' entries make none.
    let first = try log.firstPosition()
    if header.position >= first, try header.position <= log.lastPosition() {
      state = try replayer.replay(through: header.position)
    } else {
      state = try log.start()
    }
    return (state.routes.routes(overlapping: .all), state.membership.bytes)
  }

  package func routes(
    overlapping span: KeySpan, at version: CatalogVersion
  ) throws(StoreError) -> [Route] {
    do {
      let reader = AuditReader(log)
      var listing = try reader.routes(
        overlapping: span, at: try reader.resolve(.version(version)))
      var routes: [Route] = []
      while let page = try listing.next() { routes += page }
      return routes
    } catch {
      if case .store(let error) = error { throw error }
      throw .unusable(reason: error.problem)
    }
  }

  package func commands(through last: LogPosition) throws(StoreError) -> CommandWindow {
    try log.commandWindow(through: last)
  }

  package func beginning() throws(StoreError) -> CatalogState? { try log.base() }
}

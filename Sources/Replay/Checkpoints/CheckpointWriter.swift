import Catalog
import StateMachines
import Synchronization

/// Writes checkpoints, one after the other: remembers which nodes of the last one are stored, so that
/// the next one writes only what is new.
struct CheckpointWriter: Sendable {
  /// What a checkpoint led to.
  struct Outcome {
    /// The newest root; nil when the catalog has no version yet.
    var root: CheckpointRoot?
    /// Whether this checkpoint wrote it.
    var isNew: Bool
    /// The state of the root before, where it is at hand.
    var previous: CatalogState?
  }

  /// The state whose nodes ``known`` has; its tables keep their addresses from being used again.
  private var basis: CatalogState?
  /// The root of that state.
  private var root: CheckpointRoot?
  private var known: StoredNodeMap
  /// What ``CheckpointStore/losses`` was when all of ``known`` was there.
  private var losses: UInt64
  /// Roots that are not of the log's history.
  private var foreign: [CatalogVersion]
  private(set) var store: CheckpointStore?
  private var isEraOver = false
  private let open: @Sendable () throws(StoreError) -> CheckpointStore?

  /// Goes on from where a store started. `open` makes the environment, once it is needed.
  init(
    after start: StartingPoint, in store: CheckpointStore?,
    open: @escaping @Sendable () throws(StoreError) -> CheckpointStore?
  ) {
    self.store = store
    self.open = open
    foreign = start.foreign
    losses = store?.losses.load(ordering: .acquiring) ?? 0
    known = start.nodes
    if let root = start.root { (basis, self.root) = (start.state, root) }
  }

  /// Lets the next checkpoint begin anew, without any of those that are there.
  mutating func beginEra() { isEraOver = true }

  /// Makes a checkpoint of a state, unless its version has one.
  ///
  /// - Throws: ``StoreError``; what is there is as it was, and the next try goes on from it.
  /// - Complexity: O(*d*) for *d* index nodes that changed since the last one. After a start from
  ///   another root than the newest, once more O(*n*) for *n* stored nodes, none of which is read.
  mutating func checkpoint(_ state: CatalogState) throws(StoreError) -> Outcome {
    guard let store = try openedStore() else { throw .unusable(reason: "no checkpoints here") }
    if isEraOver {
      try store.removeAll()
      (basis, root, known, foreign) = (nil, nil, StoredNodeMap(), [])
      isEraOver = false
    }
    return try store.withTurn { () throws(StoreError) in
      try removeForeign(newerThan: state.version, in: store)
      let newest = try store.rootRows().last
      if let newest, newest.version == state.version {
        return Outcome(root: newest.root, isNew: false, previous: nil)
      }
      guard state.version > .zero else {
        return Outcome(root: newest?.root, isNew: false, previous: nil)
      }
      let isKnown =
        newest?.version == root?.version && newest?.root == root
        && store.losses.load(ordering: .acquiring) == losses
      return try write(
        state, alsoDead: isKnown ? [] : align(with: store), previous: isKnown ? basis : nil,
        to: store)
    }
  }

  private mutating func openedStore() throws(StoreError) -> CheckpointStore? {
    if let store { return store }
    store = try open()
    return store
  }

  /// Removes the roots that another history made, and one that is in the way and damaged.
  private mutating func removeForeign(
    newerThan version: CatalogVersion, in store: CheckpointStore
  ) throws(StoreError) {
    let doomed = try store.rootRows().filter { row in
      row.version > version || foreign.contains(row.version)
        || row.version == version && row.root == nil
    }
    for row in doomed.reversed() { try store.dropRootInTurn(row.version) }
    foreign = []
  }

  /// Makes ``known`` those nodes of ``basis`` that the newest root can see. Others are written again,
  /// so that what a root lists as dead stays dead.
  ///
  /// - Returns: The nodes that the newest root can see and the basis cannot.
  private mutating func align(with store: CheckpointStore) throws(StoreError) -> [UInt64] {
    try store.removeLeftovers()
    let seen = try store.newestNodeIDs()
    known.keep(seen)
    return Array(seen.subtracting(known.ids))
  }

  private mutating func write(
    _ state: CatalogState, alsoDead lost: [UInt64], previous: CatalogState?,
    to store: CheckpointStore
  ) throws(StoreError) -> Outcome {
    var draft = try CheckpointDraft(store)
    var next = draft.firstNodeID
    var map = known
    let stored = try state.routes.storeNodes(map: &map, nextID: &next) {
      (id, bytes) throws(StoreError) in try draft.write(id, bytes)
    }
    let root = CheckpointRoot(
      header: state.header, routeCount: state.routes.count,
      trees: stored.trees, nodes: draft.firstNodeID..<next)
    try draft.finish(
      root, membership: state.membership, dead: DeadList(stored.dead + lost))
    (basis, self.root, known) = (state, root, map)
    losses = store.losses.load(ordering: .acquiring)
    return Outcome(root: root, isNew: true, previous: previous)
  }
}

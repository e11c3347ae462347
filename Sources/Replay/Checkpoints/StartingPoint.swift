import Catalog
import StateMachines

/// Where a replay begins: a checkpoint, or what the log begins after.
package struct StartingPoint: Sendable {
  package var state: CatalogState
  /// The checkpoint; nil for the log's own beginning.
  var root: CheckpointRoot?
  /// The stored nodes of the checkpoint.
  var nodes = StoredNodeMap()
  /// Checkpoints that could not be used.
  var warnings: [StoreError] = []
  /// Checkpoints that another history made.
  var foreign: [CatalogVersion] = []

  package init(state: CatalogState) { self.state = state }

  init(
    state: CatalogState, root: CheckpointRoot? = nil, nodes: StoredNodeMap = StoredNodeMap(),
    warnings: [StoreError] = [], foreign: [CatalogVersion] = []
  ) {
    self.state = state
    self.root = root
    self.nodes = nodes
    self.warnings = warnings
    self.foreign = foreign
  }

  /// The longest tail that is replayed so that versions before the head can be held in memory.
  static let longestTail: UInt64 = 10_000

  /// What lies between the newest checkpoint that was used and a state.
  func growth(to end: CatalogState) -> CheckpointPolicy.Growth {
    let (version, position) = root.map { ($0.version, $0.position) } ?? (.zero, .zero)
    return CheckpointPolicy.Growth(
      versions: end.version.rawValue - min(end.version.rawValue, version.rawValue),
      // An entry has one event as a rule.
      events: end.appliedThrough.rawValue - min(end.appliedThrough.rawValue, position.rawValue))
  }
}

extension LogEntry {
  /// How many events the entry has, each route of a bootstrap counted as one.
  var eventWeight: UInt64 {
    events.reduce(0) { weight, event in
      if case .routesBootstrapped(let seeds) = event {
        weight + UInt64(seeds.count)
      } else {
        weight + 1
      }
    }
  }
}

extension EventLog {
  /// The state to start from for one at `end` (nil: the last entry): the newest checkpoint at or
  /// before it that is whole and agrees with the log, else what the log begins after.
  ///
  /// With `history` it is rather a checkpoint that many versions before the end, where one is near.
  ///
  /// - Complexity: O(*n*) in the number of routes.
  package func startingPoint(
    in checkpoints: CheckpointStore?, through end: LogPosition?, history: UInt64?
  ) throws(StoreError) -> StartingPoint {
    var warnings: [StoreError] = []
    var foreign: [CatalogVersion] = []
    if let checkpoints {
      do throws(StoreError) {
        for version in try checkpoints.damagedRoots() {
          warnings.append(.checkpointDamaged(version, "the row of its root"))
        }
        let last = try lastPosition()
        let roots = try checkpoints.roots().filter { root in
          (root.position <= end ?? last || end == nil)
            // What a reader cannot read in entries it does not take from a checkpoint either.
            && (root.header.membership == .zero || reading.contains(.members))
        }
        for root in try inOrder(roots, history: history, last: last) {
          do throws(StoreError) {
            switch try agreement(with: root) {
            case .other: foreign.append(root.version)
            case .unknown: break
            case .same:
              let (state, nodes) = try checkpoints.loadNodes(of: root)
              // Who goes on from here must not leave others that were not looked at.
              for other in history == nil ? [] : roots where !foreign.contains(other.version) {
                if try contradicts(other) { foreign.append(other.version) }
              }
              return StartingPoint(
                state: state, root: root, nodes: nodes, warnings: warnings, foreign: foreign)
            }
          } catch {
            warnings.append(error)
          }
        }
      } catch {
        warnings.append(error)
      }
    }
    return StartingPoint(state: try start(), warnings: warnings, foreign: foreign)
  }

  /// The newest root first, or before all the one that leaves room for `history`.
  private func inOrder(
    _ roots: [CheckpointRoot], history: UInt64?, last: LogPosition
  ) throws(StoreError) -> [CheckpointRoot] {
    var roots = Array(roots.reversed())
    guard let history, let newest = try lastVersion() else { return roots }
    let index = roots.firstIndex { root in
      root.version.rawValue + history <= newest.rawValue
    }
    if let index,
      last.rawValue - min(last.rawValue, roots[index].position.rawValue)
        <= StartingPoint.longestTail
    {
      roots.insert(roots.remove(at: index), at: 0)
    }
    return roots
  }

  /// The version of the last entry, as it says; nil when there is none, or none that can be read.
  private func lastVersion() throws(StoreError) -> CatalogVersion? {
    try environment.read { transaction throws(StoreError) in
      let header = try transaction.last(in: tables.entries) { (_, bytes) in
        try? LogEntryHeader(decoding: bytes)
      }
      return header.flatMap { $0 }?.version
    }
  }
}

extension EventLog {
  /// Whether a checkpoint is of the history that the log tells.
  enum Agreement {
    case same
    case other
    /// The log does not say: it begins later, or is damaged there.
    case unknown
  }

  /// Compares a checkpoint with the entry at its position, or with the state that the log begins
  /// after. O(log *n*) and the size of the entry.
  func agreement(with root: CheckpointRoot) throws(StoreError) -> Agreement {
    try environment.read { transaction throws(StoreError) in
      let header = root.header
      if let base = try baseHeader(in: transaction), base.position == root.position {
        return base.state(of: catalog) == header ? .same : .other
      }
      let head = try head(in: transaction)
      let last = try lastPosition(in: transaction)
      guard root.position <= last else {
        // Entries that were written and are not there are damage.
        return head.map { $0.position >= root.position } ?? true ? .unknown : .other
      }
      guard try root.position >= firstPosition(in: transaction) else { return .unknown }
      let entry = try transaction.value(of: root.position.rawValue, in: tables.entries) {
        (hash: EntryHash(of: $0), header: try? LogEntryHeader(decoding: $0))
      }
      guard let entry else { return .unknown }
      if entry.hash == header.hash {
        guard let found = entry.header, found.version == header.version,
          found.digest == header.digest, found.time == header.time
        else { return .other }
        return .same
      }
      // Another entry; or the one that it was, damaged.
      let next = try transaction.value(of: root.position.next.rawValue, in: tables.entries) {
        try? LogEntryHeader(decoding: $0)
      }
      let vouched = next.flatMap { $0 }?.previous ?? (root.position == last ? head?.hash : nil)
      return vouched == entry.hash ? .other : .unknown
    }
  }

  /// Whether the log says that another entry than a checkpoint's is at its position. Looks at the
  /// chain alone. O(log *n*).
  func contradicts(_ root: CheckpointRoot) throws(StoreError) -> Bool {
    try environment.read { transaction throws(StoreError) in
      if let base = try baseHeader(in: transaction), base.position == root.position {
        return base.hash != root.header.hash
      }
      let next = try transaction.value(of: root.position.next.rawValue, in: tables.entries) {
        try? LogEntryHeader(decoding: $0)
      }
      if let next = next.flatMap({ $0 }) { return next.previous != root.header.hash }
      guard let head = try head(in: transaction), head.position <= root.position else {
        return false
      }
      return head.hash != root.header.hash
    }
  }
}

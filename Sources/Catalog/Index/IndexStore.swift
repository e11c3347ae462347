import CIntrinsics
import Synchronization

/// Where the nodes of one or more ``RouteIndex``es live, with the versions that hold them.
///
/// No node counts its references. Each carries the serial of the version that it was made for, and
/// each version knows its parent and which of the parent's nodes it replaced. When nobody holds a
/// version any more, that tells which nodes only it could see; see `IndexStore+Reclaim.swift`.
package final class IndexStore: Sendable {
  /// The most entries of a leaf.
  let leafLimit: Int
  /// The most keys of an inner node.
  let innerLimit: Int

  private let lastSerial = Atomic<UInt64>(0)
  private let graph = Mutex(VersionGraph())
  /// Versions that lost their last holder and wait for ``reclaim(limit:)``. A lock of its own, so
  /// that a reader who drops a version never waits for one who frees nodes.
  private let retired = Mutex<[Int]>([])
  /// An estimate of what waits: versions and nodes.
  let backlog = Atomic<Int>(0)
  private let slabs = Mutex(NodeSlabs())
  private let liveNodes = Atomic<Int>(0)
  private let liveBytes = Atomic<Int>(0)

  /// - Parameter fanOut: The most entries of a leaf and children of an inner node; at least 4.
  ///   Small ones are for tests: there a few entries already make a tall tree.
  package convenience init(fanOut: Int) {
    self.init(leafLimit: fanOut, innerLimit: fanOut - 1)
  }

  package convenience init() {
    self.init(leafLimit: 32, innerLimit: 31)
  }

  package init(leafLimit: Int, innerLimit: Int) {
    precondition(leafLimit >= 4 && innerLimit >= 3 && leafLimit <= 255 && innerLimit <= 255)
    self.leafLimit = leafLimit
    self.innerLimit = innerLimit
  }

  deinit {
    // Every version held the store, so by now all are retired.
    reclaim(limit: .max)
  }

  /// How many nodes are allocated.
  package var nodeCount: Int { liveNodes.load(ordering: .relaxed) }
  /// The bytes of the allocated nodes.
  package var nodeByteCount: Int { liveBytes.load(ordering: .relaxed) }

  /// How many versions are held, or needed to tell what held ones can see.
  package var versionCount: Int { withGraph { $0.count } }

  /// The most keys of a node at this level.
  func limit(level: Int) -> Int { level == 0 ? leafLimit : innerLimit }

  /// The bytes of memory that the nodes' slabs have taken from the system.
  package var mappedByteCount: Int { withSlabs { $0.mappedByteCount } }

  /// Memory for a node, of a size that `NodeSlabs.blockSize(for:)` returned.
  func allocate(blockSize: Int) -> RouteIndex.Node {
    withSlabs { RouteIndex.Node(base: $0.allocate(blockSize: blockSize)) }
  }

  /// Gives back the memory of a node that nobody can see.
  func deallocate(_ node: RouteIndex.Node) {
    withSlabs { $0.free(node.base, blockSize: node.byteCount) }
  }

  /// The serial of an edit that begins: higher than all before.
  func nextSerial() -> UInt64 {
    lastSerial.wrappingAdd(1, ordering: .relaxed).newValue
  }

  func count(nodes: Int, bytes: Int) {
    liveNodes.wrappingAdd(nodes, ordering: .relaxed)
    liveBytes.wrappingAdd(bytes, ordering: .relaxed)
  }

  /// The version of trees that were not made from others.
  func makeFirstVersion(of trees: RouteIndex.Trees, serial: UInt64? = nil) -> RouteIndex.Version {
    makeVersion(of: trees, parent: nil, serial: serial ?? nextSerial(), dead: [])
  }

  /// Adds a version; `dead` are the nodes that `parent` can see and the new one cannot.
  func makeVersion(
    of trees: RouteIndex.Trees, parent: RouteIndex.Version?, serial: UInt64, dead: [DeadNode]
  ) -> RouteIndex.Version {
    let slot = withGraph { graph in
      graph.insert(parent: parent?.slot, serial: serial, trees: trees, dead: dead)
    }
    return RouteIndex.Version(store: self, slot: slot, weight: 1 + dead.count)
  }

  func retire(slot: Int, weight: Int) {
    withRetired { $0.append(slot) }
    backlog.wrappingAdd(weight, ordering: .relaxed)
  }
}

// Each lock tells the thread sanitizer what it orders.
extension IndexStore {
  /// What stands for a lock there: an address inside of the store.
  private func mark(_ lock: Int) -> UnsafeMutableRawPointer {
    Unmanaged.passUnretained(self).toOpaque() + lock
  }

  @inline(__always)
  func withSlabs<Result: Sendable>(_ body: (inout NodeSlabs) -> Result) -> Result {
    slabs.withLock { slabs in
      cadastre_acquired(mark(0))
      defer { cadastre_releasing(mark(0)) }
      return body(&slabs)
    }
  }

  @inline(__always)
  func withGraph<Result: Sendable>(_ body: (inout VersionGraph) -> Result) -> Result {
    graph.withLock { graph in
      cadastre_acquired(mark(1))
      defer { cadastre_releasing(mark(1)) }
      return body(&graph)
    }
  }

  /// Does nothing while somebody else has the graph.
  @inline(__always)
  func withGraphIfAvailable(_ body: (inout VersionGraph) -> Void) {
    graph.withLockIfAvailable { graph in
      cadastre_acquired(mark(1))
      defer { cadastre_releasing(mark(1)) }
      body(&graph)
    }
  }

  @inline(__always)
  func withRetired(_ body: (inout [Int]) -> Void) {
    retired.withLock { retired in
      cadastre_acquired(mark(2))
      defer { cadastre_releasing(mark(2)) }
      body(&retired)
    }
  }
}

extension RouteIndex {
  /// Keeps the nodes of one version of a tree, or of three, alive.
  final class Version: Sendable {
    let store: IndexStore
    let slot: Int
    /// About how many nodes are to be freed once nobody holds the version: as many as it replaced.
    private let weight: Int

    init(store: IndexStore, slot: Int, weight: Int) {
      self.store = store
      self.slot = slot
      self.weight = weight
    }

    deinit { store.retire(slot: slot, weight: weight) }
  }
}

/// A node that a version replaced, with its birth, so that deciding about it does not touch it.
struct DeadNode {
  var node: RouteIndex.Node
  var birth: UInt64
}

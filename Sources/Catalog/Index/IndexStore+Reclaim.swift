import Synchronization

extension IndexStore {
  /// Frees nodes that nobody can see any more, at most about `limit` of them.
  ///
  /// For whoever has time: a thread of its own, best. An edit helps along only where nobody does.
  ///
  /// - Returns: How many nodes were freed; 0 when nothing was left to do.
  /// - Complexity: O(*limit*), and for each version that was dropped, the number of nodes that the
  ///   next one replaced.
  @discardableResult
  package func reclaim(limit: Int) -> Int {
    withGraph { reclaim(limit: limit, &$0) }
  }

  /// Does a slice of the work when much of it waits and nobody else is at it.
  func helpReclaim(limit: Int) {
    guard backlog.load(ordering: .relaxed) > Self.toleratedBacklog else { return }
    withGraphIfAvailable { _ = reclaim(limit: limit, &$0) }
  }

  /// How much may wait before writers help: enough that a thread of its own always comes first.
  static let toleratedBacklog = 256

  private func reclaim(limit: Int, _ graph: inout VersionGraph) -> Int {
    var freed = (nodes: 0, bytes: 0)
    repeat {
      freeNodes(of: &graph.jobs, limit: limit, &freed)
      guard freed.nodes < limit else { break }
      withRetired { swap(&$0, &graph.releasing) }
      guard !graph.releasing.isEmpty else { break }
      for slot in graph.releasing { graph.release(slot: slot) }
      graph.releasing.removeAll(keepingCapacity: true)
    } while true
    count(nodes: -freed.nodes, bytes: -freed.bytes)
    backlog.store(graph.jobs.waitingNodeCount, ordering: .relaxed)
    return freed.nodes
  }

  /// Frees some nodes at a time under the slabs' lock, which writers want too.
  private func freeNodes(
    of jobs: inout JobQueue, limit: Int, _ freed: inout (nodes: Int, bytes: Int)
  ) {
    var isDone = false
    while !isDone {
      withSlabs { slabs in
        for _ in 0..<64 {
          guard freed.nodes < limit, let node = jobs.popNode() else {
            isDone = true
            return
          }
          let byteCount = node.byteCount
          freed.nodes += 1
          freed.bytes += byteCount
          slabs.free(node.base, blockSize: byteCount)
        }
      }
    }
  }
}

/// Nodes to be freed, first in, first out.
struct JobQueue {
  enum Job {
    /// The nodes below and with this one that were born after `floor`.
    case tree(RouteIndex.Node, floor: UInt64)
    case nodes([DeadNode])
  }

  private var jobs: [Job] = []
  private var first = 0
  /// Nodes of the tree at hand whose children still have to be looked at.
  private var stack: [RouteIndex.Node] = []
  private var floor: UInt64 = 0
  private var nodes: [DeadNode] = []

  private var listedNodeCount = 0
  private var treeCount = 0

  /// How many nodes wait; those of a tree are not known before it is walked, and count as many.
  var waitingNodeCount: Int {
    listedNodeCount + (treeCount + (stack.isEmpty ? 0 : 1)) * (IndexStore.toleratedBacklog + 1)
  }

  mutating func append(_ job: Job) {
    jobs.append(job)
    switch job {
    case .tree: treeCount += 1
    case .nodes(let nodes): listedNodeCount += nodes.count
    }
  }

  /// The next node to free; nil when nothing waits.
  mutating func popNode() -> RouteIndex.Node? {
    while true {
      if let node = stack.popLast() {
        if node.level > 0 {
          for position in 0...node.count {
            let child = node.child(at: position)
            if child.birth > floor { stack.append(child) }
          }
        }
        return node
      }
      if let dead = nodes.popLast() {
        listedNodeCount -= 1
        return dead.node
      }
      guard first < jobs.count else { return nil }
      switch jobs[first] {
      case .tree(let root, let floor):
        self.floor = floor
        stack.append(root)
        treeCount -= 1
      case .nodes(let nodes):
        self.nodes = nodes
      }
      first += 1
      if first * 2 >= jobs.count {
        jobs.removeFirst(first)
        first = 0
      }
    }
  }
}

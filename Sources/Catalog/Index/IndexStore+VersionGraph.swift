/// The versions of a store's indexes that are held, or that held ones were made from: a forest.
///
/// Mostly it is a line, each version made from the one before. A version that nobody holds is
/// contracted out of its line, and exactly the nodes that only it could see are given up.
struct VersionGraph {
  struct Version {
    /// 0 in a free slot.
    var serial: UInt64
    var parent: Int?
    var childCount = 0
    /// The exclusive or of the children's slots: the child's, when there is one.
    var childSlots = 0
    var trees: RouteIndex.Trees
    var isHeld = true
    /// The nodes that the parent can see and this version cannot.
    var dead: [DeadNode]
  }

  private(set) var versions: [Version] = []
  private var freeSlots: [Int] = []
  /// Released slots on their way into ``release(slot:)``, kept for its memory.
  var releasing: [Int] = []
  /// What contraction gave up, to be freed in this order: a tree is walked by looking at nodes that
  /// only jobs behind it free.
  var jobs = JobQueue()

  /// How many versions are there, held or not.
  var count: Int { versions.count - freeSlots.count }

  mutating func insert(
    parent: Int?, serial: UInt64, trees: RouteIndex.Trees, dead: [DeadNode]
  ) -> Int {
    let version = Version(serial: serial, parent: parent, trees: trees, dead: dead)
    let slot: Int
    if let free = freeSlots.popLast() {
      slot = free
      versions[slot] = version
    } else {
      slot = versions.count
      versions.append(version)
    }
    if let parent {
      versions[parent].childCount += 1
      versions[parent].childSlots ^= slot
    }
    return slot
  }

  /// Notes that nobody holds the version in `slot`, and contracts what can be contracted.
  ///
  /// A node's birth tells who can see it: among the nodes that a version sees, those born after its
  /// parent are seen by it and its descendants alone.
  mutating func release(slot: Int) {
    versions[slot].isHeld = false
    var next: Int? = slot
    while let slot = next, !versions[slot].isHeld {
      let parent = versions[slot].parent
      let floor = parent.map { versions[$0].serial } ?? 0
      switch versions[slot].childCount {
      case 0:
        // Nobody else sees what was born after the parent. What it replaced, the parent sees.
        let trees = versions[slot].trees
        for tree in trees.indices {
          guard let root = trees[tree].root, root.birth > floor else { continue }
          jobs.append(.tree(root, floor: floor))
        }
        if let parent {
          versions[parent].childCount -= 1
          versions[parent].childSlots ^= slot
        }
        clear(slot)
        next = parent
      case 1:
        contract(slot, into: versions[slot].childSlots, parent: parent, floor: floor)
        next = nil
      default:
        // Each of the children may see what the others replaced.
        next = nil
      }
    }
  }

  /// Makes the only child of a version the child of its parent.
  private mutating func contract(_ slot: Int, into child: Int, parent: Int?, floor: UInt64) {
    var mine = exchange(&versions[slot].dead, with: [])
    var freed = exchange(&versions[child].dead, with: [])
    // Born after the parent and replaced by the child: only this version saw it. In a line of
    // versions of which the oldest goes, that is all.
    let first = freed.partition { $0.birth <= floor }
    if first < freed.count {
      var kept = Array(freed[first...])
      freed.removeSubrange(first...)
      if mine.count < kept.count { swap(&mine, &kept) }
      mine.append(contentsOf: kept)
    }
    versions[child].dead = mine
    versions[child].parent = parent
    if let parent { versions[parent].childSlots ^= slot ^ child }
    if !freed.isEmpty { jobs.append(.nodes(freed)) }
    clear(slot)
  }

  private mutating func clear(_ slot: Int) {
    versions[slot] = Version(
      serial: 0, parent: nil, trees: RouteIndex.Trees(), isHeld: false, dead: [])
    freeSlots.append(slot)
  }
}

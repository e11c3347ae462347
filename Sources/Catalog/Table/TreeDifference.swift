/// A node of a tree, in memory or stored, as a walk of two trees sees it.
protocol DifferenceNode {
  /// Names a child without looking at it; equal names mean the same node with all below it.
  associatedtype Child: Equatable

  /// How many keys there are; an inner node has one child more.
  var count: Int { get }
  func child(at position: Int) -> Child
  /// Negative, zero or positive as a key sorts before, with or after one of another node.
  func compareKey(at position: Int, to other: Self, at otherPosition: Int) -> Int
  /// The payload of a leaf's entry.
  func payload(at position: Int) -> UnsafeRawBufferPointer
  /// The id in the row of an entry, in a tree of routes by start key.
  func routeID(at position: Int) -> RouteID
}

/// A walk of two trees side by side, which steps over what both have without looking at
/// it, and gathers the entries in which they differ.
///
/// Each side stands on an entry of a leaf or before a child that was not opened yet. A child before
/// which both stand is passed over; others are opened, the higher one first. So a node that only
/// one of the trees has makes the walk open few that both have.
struct TreeDifference<Node: DifferenceNode, Failure: Error> {
  /// A node on the way from the root.
  struct Step {
    var node: Node
    var level: Int
    /// The child that the walk goes on with; in a leaf, the entry.
    var position = 0
  }

  /// Opens a child of this name and level, to which this path leads.
  typealias Open = (Node.Child, _ level: Int, _ path: [Step]) throws(Failure) -> Node

  /// An entry of a leaf.
  typealias Entry = (node: Node, position: Int)

  /// The entries that only the old tree has, or has with another payload, in order.
  private(set) var removed: [Entry] = []
  /// The same of the new tree.
  private(set) var added: [Entry] = []
  /// The entries in front of keys that only one of the trees has: as routes, they end elsewhere in
  /// the other, though their rows may be equal.
  private(set) var cut: [Entry] = []
  private var old: Side
  private var new: Side
  private let open: Open
  private let mayPass: ([Step], [Step]) -> Bool

  /// - Parameters:
  ///   - old: The root and its level; nil for a tree without entries.
  ///   - new: The same of the other tree.
  ///   - mayPass: Whether a child to which these paths lead in the old and in the new tree may be
  ///     passed over.
  ///   - open: What opens a node.
  init(
    from old: (child: Node.Child, level: Int)?, to new: (child: Node.Child, level: Int)?,
    mayPass: @escaping ([Step], [Step]) -> Bool = { _, _ in true }, open: @escaping Open
  ) {
    self.old = Side(root: old)
    self.new = Side(root: new)
    self.mayPass = mayPass
    self.open = open
  }

  /// How many nodes were opened.
  var openedCount: Int { old.openedCount + new.openedCount }

  /// The ids of the routes that only one of the trees has, or that differ.
  var changed: Set<RouteID> {
    var ids: Set<RouteID> = []
    for entries in [removed, added, cut] {
      for (node, position) in entries { ids.insert(node.routeID(at: position)) }
    }
    return ids
  }

  /// Walks both trees. O(*d* log *n*) for *d* entries that differ.
  mutating func run() throws(Failure) {
    while true {
      switch (old.level, new.level) {
      case (nil, nil):
        return
      case (let oldLevel?, let newLevel?):
        if oldLevel < 0, newLevel < 0 {
          try compareEntries()
        } else if oldLevel == newLevel, old.child == new.child, mayPass(old.path, new.path) {
          old.pass()
          new.pass()
        } else {
          if oldLevel >= newLevel { try old.enter(open) }
          if newLevel >= oldLevel { try new.enter(open) }
        }
      case (let level?, nil):
        if level < 0 { try takeOld() } else { try old.enter(open) }
      case (nil, let level?):
        if level < 0 { try takeNew() } else { try new.enter(open) }
      }
    }
  }

  private mutating func compareEntries() throws(Failure) {
    let (left, right) = (old.top, new.top)
    let order = left.node.compareKey(at: left.position, to: right.node, at: right.position)
    if order < 0 { return try takeOld() }
    if order > 0 { return try takeNew() }
    if left.node.payload(at: left.position).compare(right.node.payload(at: right.position)) != 0 {
      removed.append((left.node, left.position))
      added.append((right.node, right.position))
    }
    old.advance(past: left)
    new.advance(past: right)
  }

  private mutating func takeOld() throws(Failure) {
    if let before = try old.entryBefore(open) { cut.append(before) }
    let step = old.top
    removed.append((step.node, step.position))
    old.advance(past: step)
  }

  private mutating func takeNew() throws(Failure) {
    if let before = try new.entryBefore(open) { cut.append(before) }
    let step = new.top
    added.append((step.node, step.position))
    new.advance(past: step)
  }
}

extension TreeDifference {
  /// Where the walk is in one of the trees.
  private struct Side {
    /// The root, until it is opened or passed over.
    private var root: (child: Node.Child, level: Int)?
    /// The opened nodes from the root down to where the side is.
    private(set) var path: [Step] = []
    /// The entry before the one that the side is on, where that is known.
    private var last: Entry?
    private(set) var openedCount = 0

    init(root: (child: Node.Child, level: Int)?) { self.root = root }

    /// The level of the child that is to be opened next; -1 on an entry, nil past the end.
    var level: Int? { root?.level ?? path.last.map { $0.level - 1 } }

    /// The child that is to be opened next.
    var child: Node.Child? { root?.child ?? path.last.map { $0.node.child(at: $0.position) } }

    /// The leaf that the side is in, and the entry that it is on.
    var top: Step { path[path.count - 1] }

    mutating func enter(_ open: Open) throws(Failure) {
      guard let child, let level else { return }
      let node = try open(child, level, path)
      root = nil
      path.append(Step(node: node, level: level))
      openedCount += 1
    }

    /// Goes on behind a child that was not opened.
    mutating func pass() {
      last = nil
      advance()
    }

    /// Goes on behind the entry that the side is on.
    mutating func advance(past step: Step) {
      last = (step.node, step.position)
      advance()
    }

    private mutating func advance() {
      root = nil
      while let step = path.last {
        // An inner node has a child behind its last key.
        if step.position < (step.level == 0 ? step.node.count - 1 : step.node.count) {
          path[path.count - 1].position += 1
          return
        }
        path.removeLast()
      }
    }

    /// The entry before the one that the side is on; nil when that is the first.
    mutating func entryBefore(_ open: Open) throws(Failure) -> Entry? {
      if let last { return last }
      var path = path
      while let step = path.popLast() {
        guard step.position > 0 else { continue }
        path.append(step)
        path[path.count - 1].position -= 1
        break
      }
      while let step = path.last {
        guard step.level > 0 else { return (step.node, step.position) }
        let node = try open(step.node.child(at: step.position), step.level - 1, path)
        openedCount += 1
        path.append(
          Step(
            node: node, level: step.level - 1,
            position: step.level > 1 ? node.count : node.count - 1))
      }
      return nil
    }
  }
}

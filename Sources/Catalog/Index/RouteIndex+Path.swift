extension RouteIndex {
  /// The way from the root down to a leaf, held inline: an edit makes one, and should not allocate.
  struct Path {
    /// The most levels of a tree, which has at least half a dozen children an inner node but for
    /// few, and in tests not many entries.
    static let maximumCount = 32

    struct Step {
      var node: Node
      /// Which child the path goes on with.
      var position: Int
    }

    private var steps: InlineArray<32, Step>
    private(set) var count = 0

    init() {
      // Steps past `count` are never looked at.
      let nowhere = Node(base: UnsafeMutableRawPointer(bitPattern: 16).unsafelyUnwrapped)
      steps = InlineArray(repeating: Step(node: nowhere, position: 0))
    }

    @inline(__always)
    mutating func removeAll() { count = 0 }

    @inline(__always)
    mutating func append(_ node: Node) {
      precondition(count < Self.maximumCount, "no tree is that tall")
      steps[count] = Step(node: node, position: 0)
      count += 1
    }

    @inline(__always)
    subscript(depth: Int) -> Step {
      get {
        assert(depth < count)
        return steps[depth]
      }
      set {
        assert(depth < count)
        steps[depth] = newValue
      }
    }
  }
}

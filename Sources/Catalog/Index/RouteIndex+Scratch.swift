extension RouteIndex {
  /// Keys, payloads and children in order, out of which whole nodes are built.
  struct Scratch {
    struct Item {
      var key: Range<Int>
      var payload: Range<Int>
    }

    /// Longer than what is in use, so that bytes are written in place.
    private var bytes: [UInt8] = []
    private var usedCount = 0
    private(set) var items: [Item] = []
    var children: [Node] = []

    mutating func removeAll() {
      usedCount = 0
      items.removeAll(keepingCapacity: true)
      children.removeAll(keepingCapacity: true)
    }

    mutating func append(key: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer) {
      let start = usedCount
      makeRoom(key.count + payload.count)
      bytes.withUnsafeMutableBytes { all in
        UnsafeMutableRawBufferPointer(rebasing: all[start...]).copyMemory(from: key)
        UnsafeMutableRawBufferPointer(rebasing: all[(start + key.count)...])
          .copyMemory(from: payload)
      }
      appendItem(keyLength: key.count, payloadLength: payload.count)
    }

    /// Appends the keys of a node with their payloads, and its children.
    mutating func append(contentsOf node: Node) {
      items.reserveCapacity(items.count + node.count + 1)
      for position in 0..<node.count { append(node, position) }
      if node.level > 0 {
        for position in 0...node.count { children.append(node.child(at: position)) }
      }
    }

    /// Appends one key of a node with its payload.
    mutating func append(_ node: Node, _ position: Int) {
      let start = usedCount
      let keyLength = node.prefixLength + node.suffixLength(at: position)
      let payload = node.level == 0 ? node.payload(at: position) : .empty
      makeRoom(keyLength + payload.count)
      bytes.withUnsafeMutableBytes { all in
        _ = node.copyKey(
          at: position, into: UnsafeMutableRawBufferPointer(rebasing: all[start...]))
        UnsafeMutableRawBufferPointer(rebasing: all[(start + keyLength)...])
          .copyMemory(from: payload)
      }
      appendItem(keyLength: keyLength, payloadLength: payload.count)
    }

    private mutating func makeRoom(_ byteCount: Int) {
      let missing = usedCount + byteCount - bytes.count
      if missing > 0 {
        bytes.append(contentsOf: repeatElement(0, count: max(missing, bytes.count, 4096)))
      }
    }

    private mutating func appendItem(keyLength: Int, payloadLength: Int) {
      let key = usedCount..<usedCount + keyLength
      usedCount = key.upperBound + payloadLength
      items.append(Item(key: key, payload: key.upperBound..<usedCount))
    }

    /// Puts an item in a place; O(*n*).
    mutating func insert(
      key: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer, at position: Int
    ) {
      append(key: key, payload: payload)
      items.insert(items.removeLast(), at: position)
    }

    func withKey<Result>(at position: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
      bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[items[position].key])) }
    }

    func key(at position: Int) -> [UInt8] { Array(bytes[items[position].key]) }

    /// How many bytes the items take in a node with a prefix of this length, at most.
    func byteCount(of range: Range<Int>, prefixLength: Int) -> Int {
      range.reduce(prefixLength) { sum, position in
        sum + items[position].key.count - prefixLength + items[position].payload.count
      }
    }

    /// Makes a node of the items in `range`, whose fences have `prefixLength` bytes in common, with
    /// room for `spare` more.
    ///
    /// - Precondition: `range` is not empty, and the children, if any, are one more.
    func makeNode(
      in store: IndexStore, level: Int, range: Range<Int>, children: Range<Int>,
      prefixLength: Int, spare: Int, birth: UInt64
    ) -> Node {
      precondition(!range.isEmpty && (level == 0 || children.count == range.count + 1))
      let first = range.lowerBound
      let node = bytes.withUnsafeBytes { all in
        func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer {
          UnsafeRawBufferPointer(rebasing: all[range])
        }
        func suffix(_ position: Int) -> UnsafeRawBufferPointer {
          let key = items[first + position].key
          return slice(key.lowerBound + prefixLength..<key.upperBound)
        }
        func payload(_ position: Int) -> UnsafeRawBufferPointer {
          slice(items[first + position].payload)
        }
        let start = items[first].key.lowerBound
        let prefix = slice(start..<start + prefixLength)
        return Node.make(
          Node.Size(count: range.count, prefix: prefix, suffix: suffix, payload: payload),
          in: store, level: level, count: range.count, spare: spare, prefix: prefix, birth: birth,
          suffix: suffix, payload: payload)
      }
      if level > 0 {
        for (position, child) in self.children[children].enumerated() {
          node.setChild(child, at: position)
        }
      }
      return node
    }
  }

  /// How many bytes two keys have in common at their start; 0 where a fence is missing.
  static func commonPrefixLength(_ left: [UInt8]?, _ right: [UInt8]?) -> Int {
    guard let left, let right else { return 0 }
    return left.withUnsafeBytes { left in
      right.withUnsafeBytes { commonPrefixLength(left, $0) }
    }
  }

  /// How many bytes two keys have in common at their start.
  static func commonPrefixLength(
    _ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer
  ) -> Int {
    let count = min(left.count, right.count)
    var length = 0
    while length < count, left[length] == right[length] { length += 1 }
    return length
  }
}

extension RouteIndex.Node {
  /// Makes a node of entries in the order of their keys, with room for `spare` more.
  ///
  /// `prefix` is what the node's fences have in common, and `suffix` what follows it in the key at a
  /// position; both closures are asked more than once.
  ///
  /// - Precondition: `size` is that of these entries, which are 1 to 255, and 16 bits reach it all.
  @inline(__always)
  static func make(
    _ size: Size, in store: IndexStore, level: Int, count: Int, spare: Int,
    prefix: UnsafeRawBufferPointer, birth: UInt64, suffix: (Int) -> UnsafeRawBufferPointer,
    payload: (Int) -> UnsafeRawBufferPointer
  ) -> RouteIndex.Node {
    var skips = Skips(repeating: 0)
    if size.headsPerKey == 2 { findSkips(&skips, count: count, suffix: suffix) }
    let node = allocate(
      in: store, level: level, capacity: count + spare, headsPerKey: size.headsPerKey,
      variableCapacity: size.variableCount + spare * (size.variableCount - prefix.count) / count,
      birth: birth)
    node.setPrefix(prefix)
    var write = prefix.count
    for position in 0..<count {
      let suffix = suffix(position)
      let payload = payload(position)
      node.setKey(suffix, skip: Int(skips[position]), at: position, tailOffset: write)
      write += node.tailLength(at: position)
      UnsafeMutableRawBufferPointer(start: node.variable + write, count: payload.count)
        .copyMemory(from: payload)
      write += payload.count
      node.ends[position] = UInt16(write)
    }
    node.setCount(count)
    return node
  }

  /// What a node needs for its entries.
  struct Size {
    var headsPerKey: Int
    /// How much of the variable area they take, prefix included.
    var variableCount: Int

    @inline(__always)
    init(
      count: Int, prefix: UnsafeRawBufferPointer, suffix: (Int) -> UnsafeRawBufferPointer,
      payload: (Int) -> UnsafeRawBufferPointer
    ) {
      let longest = (0..<count).reduce(0) { max($0, suffix($1).count) }
      let words = longest <= 8 ? 1 : 2
      headsPerKey = words
      variableCount = (0..<count).reduce(prefix.count) { sum, position in
        sum + max(0, suffix(position).count - 8 * words) + payload(position).count
      }
    }
  }

  /// As many as a node may have keys.
  private typealias Skips = InlineArray<255, UInt8>

  /// Finds out how many bytes the keys of each run have in common past their first head, so that
  /// 8 are left of each for its second.
  @inline(__always)
  private static func findSkips(
    _ skips: inout Skips, count: Int, suffix: (Int) -> UnsafeRawBufferPointer
  ) {
    var start = 0
    while start < count {
      let first = suffix(start)
      let head = RouteIndex.Needle(first).head(at: 0)
      var shortest = first.count
      var end = start + 1
      while end < count, RouteIndex.Needle(suffix(end)).head(at: 0) == head {
        shortest = min(shortest, suffix(end).count)
        end += 1
      }
      if end - start > 1 {
        let common = RouteIndex.commonPrefixLength(first, suffix(end - 1))
        let skip = UInt8(min(255, max(0, min(common - 8, shortest - 16))))
        for position in start..<end { skips[position] = skip }
      }
      start = end
    }
  }

  /// Writes a key's heads, its length and its tail.
  func setKey(_ suffix: UnsafeRawBufferPointer, skip: Int, at position: Int, tailOffset: Int) {
    let needle = RouteIndex.Needle(suffix)
    heads(0)[position] = needle.head(at: 0)
    lengths[position] = UInt16(suffix.count)
    let tail = variable + tailOffset
    guard headsPerKey == 2 else { return }
    heads(1)[position] = needle.head(at: 8 + skip)
    skips[position] = UInt8(skip)
    tail.copyMemory(from: needle.start + 8, byteCount: skip)
    let rest = suffix.count - 16 - skip
    if rest > 0 { (tail + skip).copyMemory(from: needle.start + 16 + skip, byteCount: rest) }
  }

  /// Where the second head of a key that is to be inserted has to be taken: how many bytes past the
  /// first. Nil when the keys of its run skip more than the key has in common with them, or can do
  /// without; the node has to be made anew then.
  func skip(inserting suffix: UnsafeRawBufferPointer, at position: Int) -> Int? {
    guard headsPerKey == 2 else { return 0 }
    let needle = RouteIndex.Needle(suffix)
    let head = needle.head(at: 0)
    let neighbour: Int
    if position > 0, heads(0)[position - 1] == head {
      neighbour = position - 1
    } else if position < count, heads(0)[position] == head {
      neighbour = position
    } else {
      return 0
    }
    let skip = Int(skips[neighbour])
    guard skip > 0 else { return 0 }
    let tail = variable + end(of: neighbour - 1)
    guard suffix.count >= 16 + skip, needle.compare(from: 8, with: tail, count: skip) == 0 else {
      return nil
    }
    return skip
  }
}

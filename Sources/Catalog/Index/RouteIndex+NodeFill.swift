extension RouteIndex.Node {
  /// Makes a node of entries in the order of their keys, with room for `spare` more.
  ///
  /// `prefix` is what the node's fences have in common, and `suffix` what follows it in the key at a
  /// position; both closures are asked more than once.
  ///
  /// - Precondition: There are 1 to 255 entries, and all fit into 16 bits.
  @inline(__always)
  static func make(
    in store: IndexStore, level: Int, count: Int, spare: Int, prefix: UnsafeRawBufferPointer,
    birth: UInt64, suffix: (Int) -> UnsafeRawBufferPointer,
    payload: (Int) -> UnsafeRawBufferPointer
  ) -> RouteIndex.Node {
    let longest = (0..<count).reduce(0) { max($0, suffix($1).count) }
    let words = longest <= 8 ? 1 : 2
    var skips = Skips(repeating: 0)
    if words == 2 { findSkips(&skips, count: count, suffix: suffix) }
    let variableCount = (0..<count).reduce(prefix.count) { sum, position in
      sum + max(Int(skips[position]), suffix(position).count - 8 * words) + payload(position).count
    }
    let node = allocate(
      in: store, level: level, capacity: count + spare, headsPerKey: words,
      variableCapacity: variableCount + spare * (variableCount - prefix.count) / count,
      birth: birth)
    node.setPrefix(prefix)
    var write = prefix.count
    for position in 0..<count {
      let suffix = suffix(position)
      let payload = payload(position)
      let skip = Int(skips[position])
      node.setKey(suffix, skip: skip, at: position, tailOffset: write)
      write += max(skip, suffix.count - 8 * words)
      UnsafeMutableRawBufferPointer(start: node.variable + write, count: payload.count)
        .copyMemory(from: payload)
      write += payload.count
      node.ends[position] = UInt16(write)
    }
    node.setCount(count)
    return node
  }

  /// As many as a node may have keys.
  private typealias Skips = InlineArray<255, UInt8>

  /// Finds out what the keys of each run have in common past their first head, in bytes.
  @inline(__always)
  private static func findSkips(
    _ skips: inout Skips, count: Int, suffix: (Int) -> UnsafeRawBufferPointer
  ) {
    var start = 0
    while start < count {
      let first = suffix(start)
      let head = RouteIndex.Needle(first).head(at: 0)
      var end = start + 1
      while end < count, RouteIndex.Needle(suffix(end)).head(at: 0) == head { end += 1 }
      if end - start > 1 {
        let last = suffix(end - 1)
        let common = RouteIndex.commonPrefixLength(first, last)
        let skip = UInt8(min(255, max(0, common - 8)))
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
    guard suffix.count > 8 else { return }
    tail.copyMemory(from: needle.start + 8, byteCount: skip)
    let rest = suffix.count - 16 - skip
    if rest > 0 { (tail + skip).copyMemory(from: needle.start + 16 + skip, byteCount: rest) }
  }

  /// Where the second head of a key that is to be inserted has to be taken: how many bytes past the
  /// first. Nil when the key has less in common with the keys of its run than they skip; the node
  /// has to be made anew then.
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
    let tail = variable + end(of: neighbour - 1)
    return needle.compare(from: 8, with: tail, count: skip) == 0 ? skip : nil
  }
}

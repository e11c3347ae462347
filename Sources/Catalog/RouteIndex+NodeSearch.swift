extension RouteIndex.Node {
  /// How many keys are at or before `needle`, which lies between the node's fences.
  @inline(__always)
  func countOfKeys(atOrBefore needle: RouteIndex.Needle) -> Int {
    let prefixLength = prefixLength
    let first = needle.head(at: prefixLength)
    if headsPerKey == 1 {
      return countOfKeys(atOrBefore: needle, prefixLength: prefixLength, head: first)
    }
    let second = needle.head(at: prefixLength &+ 8)
    return countOfKeys(
      atOrBefore: needle, prefixLength: prefixLength,
      heads: UInt128(truncatingIfNeeded: first) &<< 64 | UInt128(truncatingIfNeeded: second))
  }

  @inline(__always)
  private func countOfKeys(
    atOrBefore needle: RouteIndex.Needle, prefixLength: Int, head: UInt64
  ) -> Int {
    let heads = heads
    var low = 0
    var remaining = count
    // Branchless: the processor could only guess which way each step goes.
    while remaining > 1 {
      let half = remaining &>> 1
      low &+= heads[low &+ half &- 1] <= head ? half : 0
      remaining &-= half
    }
    low &+= heads[low] <= head ? 1 : 0
    guard low > 0, heads[low &- 1] == head else { return low }
    return countAmongTies(endingAt: low, needle, prefixLength)
  }

  @inline(__always)
  private func pair(at position: Int) -> UInt128 {
    let heads = heads + 2 &* position
    return UInt128(truncatingIfNeeded: heads[0]) &<< 64 | UInt128(truncatingIfNeeded: heads[1])
  }

  @inline(__always)
  private func countOfKeys(
    atOrBefore needle: RouteIndex.Needle, prefixLength: Int, heads: UInt128
  ) -> Int {
    var low = 0
    var remaining = count
    while remaining > 1 {
      let half = remaining &>> 1
      low &+= pair(at: low &+ half &- 1) <= heads ? half : 0
      remaining &-= half
    }
    low &+= pair(at: low) <= heads ? 1 : 0
    guard low > 0, pair(at: low &- 1) == heads else { return low }
    return countAmongTies(endingAt: low, needle, prefixLength)
  }

  /// How many keys are at or before `needle`, when the key before `end` has the heads of the
  /// needle, and the one at `end` has not.
  @inline(never)
  private func countAmongTies(
    endingAt end: Int, _ needle: RouteIndex.Needle, _ prefixLength: Int
  ) -> Int {
    let suffix = needle.suffix(from: prefixLength)
    if isTiedKey(at: end - 1, atOrBefore: suffix) { return end }
    var low = end - 1
    while low > 0, hasEqualHeads(low - 1, end - 1) { low -= 1 }
    var high = end - 1
    while low < high {
      let middle = (low + high) >> 1
      if isTiedKey(at: middle, atOrBefore: suffix) { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private func hasEqualHeads(_ left: Int, _ right: Int) -> Bool {
    let words = headsPerKey
    for word in 0..<words where heads[left * words + word] != heads[right * words + word] {
      return false
    }
    return true
  }

  /// Whether a key is at or before one with these bytes after the prefix, and the same heads.
  @inline(__always)
  private func isTiedKey(at position: Int, atOrBefore suffix: UnsafeRawBufferPointer) -> Bool {
    let length = suffixLength(at: position)
    let inHeads = 8 &* headsPerKey
    // A key that ends within its heads is a prefix of all that tie with it, zeros aside: they
    // differ in length alone.
    if length <= inHeads || suffix.count <= inHeads { return length <= suffix.count }
    return tail(at: position).compare(UnsafeRawBufferPointer(rebasing: suffix[inHeads...])) <= 0
  }

  /// Whether the key at `position` is `needle`, which lies between the node's fences.
  func key(at position: Int, equals needle: RouteIndex.Needle) -> Bool {
    let prefixLength = prefixLength
    let words = headsPerKey
    guard suffixLength(at: position) == needle.count - prefixLength else { return false }
    for word in 0..<words
    where heads[position * words + word] != needle.head(at: prefixLength + 8 * word) {
      return false
    }
    let tail = tail(at: position)
    guard !tail.isEmpty else { return true }
    return tail.compare(needle.suffix(from: prefixLength + 8 * words)) == 0
  }
}

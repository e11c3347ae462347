import CIntrinsics

extension RouteIndex.Node {
  /// How many keys are at or before `needle`, which lies between the node's fences.
  @inline(__always)
  func countOfKeys(atOrBefore needle: RouteIndex.Needle) -> Int {
    let heads = heads(0)
    let head = needle.head(at: prefixLength)
    let rank = cadastre_rank(heads, count, head)
    guard rank > 0, heads[rank &- 1] == head else { return rank }
    return countAmongTies(endingAt: rank, needle, head)
  }

  /// How many keys are at or before `needle`, when the key before `end` has the first head of the
  /// needle, and the one at `end` has not.
  @inline(never)
  private func countAmongTies(
    endingAt end: Int, _ needle: RouteIndex.Needle, _ head: UInt64
  ) -> Int {
    var low = end - 1
    if low > 0, heads(0)[low - 1] == head {
      low = head > 0 ? cadastre_rank(heads(0), end, head - 1) : 0
    }
    var high = end
    let prefixLength = prefixLength
    if headsPerKey == 2 {
      let second = needle.head(at: prefixLength + 8)
      let heads = heads(1)
      high = low + cadastre_rank(heads + low, end - low, second)
      guard high > low, heads[high - 1] == second else { return high }
      let first = high - 1
      if first > low, heads[first - 1] == second, second > 0 {
        low += cadastre_rank(heads + low, high - low, second - 1)
      } else if second > 0 {
        low = first
      }
    }
    let suffix = needle.suffix(from: prefixLength)
    while low < high {
      let middle = (low + high) >> 1
      if isTiedKey(at: middle, atOrBefore: suffix) { low = middle + 1 } else { high = middle }
    }
    return low
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
    where heads(word)[position] != needle.head(at: prefixLength + 8 * word) {
      return false
    }
    let tail = tail(at: position)
    guard !tail.isEmpty else { return true }
    return tail.compare(needle.suffix(from: prefixLength + 8 * words)) == 0
  }
}

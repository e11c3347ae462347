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
    // How many of the needle's first bytes the keys that are left are known to have too.
    var known = prefixLength + 8
    if headsPerKey == 2 {
      let skip = Int(skips[low])
      if skip > 0 {
        let order = needle.compare(from: known, with: variable + self.end(of: low - 1), count: skip)
        if order != 0 { return order < 0 ? low : end }
        known += skip
      }
      let second = needle.head(at: known)
      known += 8
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
    while low < high {
      let middle = (low + high) >> 1
      if isTiedKey(at: middle, atOrBefore: needle, known) {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low
  }

  /// Whether a key is at or before the needle, when both have the same first `known` bytes: the
  /// prefix, the heads and what is between them.
  @inline(__always)
  private func isTiedKey(
    at position: Int, atOrBefore needle: RouteIndex.Needle, _ known: Int
  ) -> Bool {
    let length = prefixLength &+ suffixLength(at: position)
    // A key that ends within its heads is a prefix of all that tie with it, zeros aside: they
    // differ in length alone.
    if length <= known || needle.count <= known { return length <= needle.count }
    let tail = variable + end(of: position &- 1) + skip(at: position)
    return needle.compare(from: known, with: tail, count: length &- known) >= 0
  }

  /// Whether the key at `position` is `needle`, which lies between the node's fences.
  func key(at position: Int, equals needle: RouteIndex.Needle) -> Bool {
    let known = prefixLength &+ 8
    let length = suffixLength(at: position) &+ prefixLength
    guard length == needle.count, heads(0)[position] == needle.head(at: prefixLength) else {
      return false
    }
    // With one head a key nothing of any key lies past it.
    guard length > known else { return true }
    let tail = variable + end(of: position &- 1)
    let skip = Int(skips[position])
    let second = known &+ skip
    guard heads(1)[position] == needle.head(at: second),
      needle.compare(from: known, with: tail, count: skip) == 0
    else { return false }
    return needle.compare(
      from: second &+ 8, with: tail + skip, count: max(0, length &- second &- 8)) == 0
  }
}

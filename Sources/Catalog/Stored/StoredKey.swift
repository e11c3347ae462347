/// A key of a stored node, in the two pieces in which it stands there. Lent.
struct StoredKey {
  let prefix: UnsafeRawBufferPointer
  let suffix: UnsafeRawBufferPointer

  init(prefix: UnsafeRawBufferPointer, suffix: UnsafeRawBufferPointer) {
    self.prefix = prefix
    self.suffix = suffix
  }

  /// A key in one piece.
  init(_ bytes: UnsafeRawBufferPointer) { self.init(prefix: .empty, suffix: bytes) }

  var count: Int { prefix.count + suffix.count }

  /// A copy.
  var bytes: [UInt8] { Array(prefix) + Array(suffix) }

  /// Negative, zero or positive as the key sorts before, with or after `other`.
  func compare(_ other: StoredKey) -> Int {
    var (left, leftRest) = (prefix, suffix)
    var (right, rightRest) = (other.prefix, other.suffix)
    while true {
      if left.isEmpty { (left, leftRest) = (leftRest, .empty) }
      if right.isEmpty { (right, rightRest) = (rightRest, .empty) }
      let common = min(left.count, right.count)
      guard common > 0 else { return left.count - right.count }
      let order = UnsafeRawBufferPointer(rebasing: left[..<common])
        .compare(UnsafeRawBufferPointer(rebasing: right[..<common]))
      if order != 0 { return order }
      left = UnsafeRawBufferPointer(rebasing: left[common...])
      right = UnsafeRawBufferPointer(rebasing: right[common...])
    }
  }

  /// Whether the key begins with `bytes`.
  func hasPrefix(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count <= count else { return false }
    let inPrefix = min(prefix.count, bytes.count)
    let rest = bytes.count - inPrefix
    return UnsafeRawBufferPointer(rebasing: prefix[..<inPrefix])
      .compare(UnsafeRawBufferPointer(rebasing: bytes[..<inPrefix])) == 0
      && UnsafeRawBufferPointer(rebasing: suffix[..<rest])
        .compare(UnsafeRawBufferPointer(rebasing: bytes[inPrefix...])) == 0
  }
}

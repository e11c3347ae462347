import CIntrinsics

extension RouteIndex {
  /// One node: a single allocation, read and written through raw pointers.
  ///
  /// ```
  /// header     32 bytes, see `Offset`
  /// heads      capacity × 8 bytes: each key's first bytes after the prefix
  /// children   (capacity + 1) × 8 bytes, inner nodes only
  /// ends       capacity × 2 bytes: where each entry ends in the variable area
  /// lengths    capacity × 2 bytes: how many bytes of each key follow the prefix
  /// heads      capacity × 8 bytes more, in nodes with long keys: what tells apart keys that tie
  /// skips      capacity × 1 byte, in nodes with long keys: what of a key is between its heads
  /// variable   prefix, then for each entry: key bytes in no head, payload
  /// padding    so that a payload's numbers may be loaded 8 bytes at a time
  /// ```
  ///
  /// What a search reads first comes first; the second heads are for ties.
  ///
  /// A node's *fences* are the separators around it in the nodes above: every key that a descent
  /// brings here lies between them and so starts with what they have in common, the *prefix*. Heads
  /// are taken right behind it, and a search never compares it. Heads are big-endian numbers padded
  /// with zeros, one a key where no key of the node has more than 8 bytes past the prefix, else
  /// two. Keys with the same first head are a *run*; paths have long ones. What all keys of a run
  /// have in common past that head is skipped, and compared once; the second heads are taken behind
  /// it, or where the last 8 bytes of the shortest key begin. Where these tie too, tails and lengths
  /// decide.
  ///
  /// An inner node has *n* keys, its separators, and *n* + 1 children; child *i* holds the keys
  /// from separator *i* - 1 up to but not including separator *i*.
  struct Node: Equatable, @unchecked Sendable {
    // Unchecked: a node is written by the edit that makes it, before anybody else sees it, and freed
    // when nobody can see it any more.
    let base: UnsafeMutableRawPointer

    @inline(__always)
    init(base: UnsafeMutableRawPointer) { self.base = base }

    enum Offset {
      static let birth = 0
      static let count = 8
      static let capacity = 10
      static let prefixLength = 12
      static let level = 14
      static let headsPerKey = 15
      static let variableCapacity = 16
      static let byteCount = 20
      static let ends = 24
      static let children = 26
      static let variable = 28
      static let secondHeads = 30
      static let heads = 32
    }

    /// The most bytes of a variable area that is filled on purpose; 16-bit offsets reach further.
    static let variableLimit = 60 * 1024
  }
}

extension RouteIndex.Node {
  @inline(__always)
  private func number(_ offset: Int) -> Int {
    Int(base.load(fromByteOffset: offset, as: UInt16.self))
  }

  /// The serial of the version that the node was made for.
  @inline(__always)
  var birth: UInt64 { base.load(fromByteOffset: Offset.birth, as: UInt64.self) }

  /// How many keys there are; an inner node has one child more.
  @inline(__always)
  var count: Int { number(Offset.count) }

  /// How many keys there is room for.
  @inline(__always)
  var capacity: Int { number(Offset.capacity) }

  @inline(__always)
  var prefixLength: Int { number(Offset.prefixLength) }

  /// 0 for a leaf, else one more than that of the children.
  @inline(__always)
  var level: Int { Int(base.load(fromByteOffset: Offset.level, as: UInt8.self)) }

  /// 1 or 2.
  @inline(__always)
  var headsPerKey: Int { Int(base.load(fromByteOffset: Offset.headsPerKey, as: UInt8.self)) }

  var variableCapacity: Int {
    Int(base.load(fromByteOffset: Offset.variableCapacity, as: UInt32.self))
  }

  /// The size of the allocation.
  var byteCount: Int { Int(base.load(fromByteOffset: Offset.byteCount, as: UInt32.self)) }

  /// How much of the variable area is in use, prefix included.
  var variableCount: Int { end(of: count - 1) }

  /// The keys' first 8 bytes past the prefix, or with `word` 1 their second heads.
  @inline(__always)
  func heads(_ word: Int) -> UnsafeMutablePointer<UInt64> {
    (base + (word == 0 ? Offset.heads : number(Offset.secondHeads)))
      .assumingMemoryBound(to: UInt64.self)
  }

  @inline(__always)
  var ends: UnsafeMutablePointer<UInt16> {
    (base + number(Offset.ends)).assumingMemoryBound(to: UInt16.self)
  }

  @inline(__always)
  var lengths: UnsafeMutablePointer<UInt16> { ends + capacity }

  /// How many bytes of each key are between its heads; only where there are two.
  @inline(__always)
  var skips: UnsafeMutablePointer<UInt8> {
    (base + number(Offset.secondHeads) + 8 &* capacity).assumingMemoryBound(to: UInt8.self)
  }

  /// The children's addresses, with their sizes in the bits that are zero in an address.
  @inline(__always)
  var children: UnsafeMutablePointer<UInt> {
    (base + number(Offset.children)).assumingMemoryBound(to: UInt.self)
  }

  @inline(__always)
  var variable: UnsafeMutableRawPointer { base + number(Offset.variable) }

  @inline(__always)
  func child(at position: Int) -> RouteIndex.Node {
    RouteIndex.Node(childWord: children[position])
  }

  /// The child, all of whose cache lines were asked for, before anything of it is known but its
  /// address and size.
  @inline(__always)
  func prefetchedChild(at position: Int) -> RouteIndex.Node {
    let word = children[position]
    let child = RouteIndex.Node(childWord: word)
    var line = child.base
    var rest = word & 63
    while rest > 0 {
      cadastre_prefetch(line)
      line += 64
      rest &-= 1
    }
    return child
  }

  @inline(__always)
  private init(childWord: UInt) {
    // A child's address was put there, so it is not null.
    base = UnsafeMutableRawPointer(bitPattern: childWord & ~63).unsafelyUnwrapped
  }

  /// What a parent has for the node: its address, a multiple of 64, and the number of its cache
  /// lines, or 63 where there are more.
  var childWord: UInt {
    UInt(bitPattern: base) | UInt(min(63, byteCount / 64))
  }

  /// Where the entry ends in the variable area; the entry at -1 is the prefix.
  @inline(__always)
  func end(of position: Int) -> Int {
    position < 0 ? prefixLength : Int(ends[position])
  }

  /// How many bytes of the key follow the prefix.
  @inline(__always)
  func suffixLength(at position: Int) -> Int { Int(lengths[position]) }

  /// How many bytes of the key are between its heads.
  @inline(__always)
  func skip(at position: Int) -> Int { headsPerKey == 2 ? Int(skips[position]) : 0 }

  /// How many bytes of the key stand in the variable area: those between its heads, then those past
  /// both. As many as without a skip, which leaves a second head 8 bytes of each key.
  @inline(__always)
  func tailLength(at position: Int) -> Int {
    max(0, suffixLength(at: position) &- 8 &* headsPerKey)
  }

  @inline(__always)
  func payload(at position: Int) -> UnsafeRawBufferPointer {
    let start = end(of: position - 1) + tailLength(at: position)
    return UnsafeRawBufferPointer(start: variable + start, count: Int(ends[position]) - start)
  }

  /// Writes the whole key to the front of `target`; the number of bytes written.
  func copyKey(at position: Int, into target: UnsafeMutableRawBufferPointer) -> Int {
    let prefixLength = prefixLength
    let suffixLength = suffixLength(at: position)
    precondition(target.count >= prefixLength + suffixLength)
    guard let start = target.baseAddress else { return 0 }
    start.copyMemory(from: variable, byteCount: prefixLength)
    copySuffix(at: position, to: start + prefixLength)
    return prefixLength + suffixLength
  }

  /// Writes what of the key follows the prefix.
  func copySuffix(at position: Int, to target: UnsafeMutableRawPointer) {
    let length = suffixLength(at: position)
    Self.write(heads(0)[position], count: min(length, 8), to: target)
    // With one head a key nothing of any key lies past it.
    guard length > 8 else { return }
    let skip = Int(skips[position])
    let tail = variable + end(of: position - 1)
    let second = target + 8 + skip
    (target + 8).copyMemory(from: tail, byteCount: skip)
    Self.write(heads(1)[position], count: min(length - 8 - skip, 8), to: second)
    (second + 8).copyMemory(from: tail + skip, byteCount: tailLength(at: position) - skip)
  }

  private static func write(_ head: UInt64, count: Int, to target: UnsafeMutableRawPointer) {
    withUnsafeBytes(of: head.bigEndian) { bytes in
      target.copyMemory(from: bytes.baseAddress.unsafelyUnwrapped, byteCount: count)
    }
  }
}

extension RouteIndex.Node {
  /// Room for `capacity` keys and `variableCapacity` bytes, with no keys yet.
  static func allocate(
    in store: IndexStore, level: Int, capacity: Int, headsPerKey: Int, variableCapacity: Int,
    birth: UInt64
  ) -> RouteIndex.Node {
    let children = Offset.heads + capacity * 8
    let ends = children + (level > 0 ? (capacity + 1) * 8 : 0)
    let secondHeads = (ends + capacity * 4 + 7) & ~7
    let variable = secondHeads + (headsPerKey == 2 ? capacity * 9 : 0)
    let byteCount = NodeSlabs.blockSize(
      for: variable + variableCapacity + RouteIndex.payloadPadding)
    let base = store.allocate(blockSize: byteCount).base
    base.storeBytes(of: birth, toByteOffset: Offset.birth, as: UInt64.self)
    base.storeBytes(of: 0, toByteOffset: Offset.count, as: UInt16.self)
    base.storeBytes(of: UInt16(capacity), toByteOffset: Offset.capacity, as: UInt16.self)
    base.storeBytes(of: 0, toByteOffset: Offset.prefixLength, as: UInt16.self)
    base.storeBytes(of: UInt8(level), toByteOffset: Offset.level, as: UInt8.self)
    base.storeBytes(of: UInt8(headsPerKey), toByteOffset: Offset.headsPerKey, as: UInt8.self)
    base.storeBytes(
      of: UInt32(byteCount - variable - RouteIndex.payloadPadding),
      toByteOffset: Offset.variableCapacity, as: UInt32.self)
    base.storeBytes(of: UInt32(byteCount), toByteOffset: Offset.byteCount, as: UInt32.self)
    base.storeBytes(of: UInt16(ends), toByteOffset: Offset.ends, as: UInt16.self)
    base.storeBytes(of: UInt16(children), toByteOffset: Offset.children, as: UInt16.self)
    base.storeBytes(of: UInt16(variable), toByteOffset: Offset.variable, as: UInt16.self)
    base.storeBytes(of: UInt16(secondHeads), toByteOffset: Offset.secondHeads, as: UInt16.self)
    (base + Offset.heads).bindMemory(to: UInt64.self, capacity: capacity)
    if headsPerKey == 2 {
      (base + secondHeads).bindMemory(to: UInt64.self, capacity: capacity)
      (base + secondHeads + capacity * 8).bindMemory(to: UInt8.self, capacity: capacity)
    }
    (base + ends).bindMemory(to: UInt16.self, capacity: capacity * 2)
    precondition(UInt(bitPattern: base) & 63 == 0, "nodes are aligned to cache lines")
    if level > 0 {
      (base + children).bindMemory(to: UInt.self, capacity: capacity + 1)
    }
    return RouteIndex.Node(base: base)
  }

  func setCount(_ count: Int) {
    base.storeBytes(of: UInt16(count), toByteOffset: Offset.count, as: UInt16.self)
  }

  func setPrefix(_ prefix: UnsafeRawBufferPointer) {
    base.storeBytes(
      of: UInt16(prefix.count), toByteOffset: Offset.prefixLength, as: UInt16.self)
    UnsafeMutableRawBufferPointer(start: variable, count: prefix.count).copyMemory(from: prefix)
  }

  func setChild(_ child: RouteIndex.Node, at position: Int) {
    children[position] = child.childWord
  }

  func setBirth(_ birth: UInt64) {
    base.storeBytes(of: birth, toByteOffset: Offset.birth, as: UInt64.self)
  }
}

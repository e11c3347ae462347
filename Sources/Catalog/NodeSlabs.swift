import CIntrinsics

/// The memory of a store's nodes: blocks of a few dozen sizes, cut from spans of 64 KiB, cut from
/// regions of 2 MiB in huge pages.
///
/// A lookup in a large index goes to a node that is in no cache, and with small pages its address
/// is not known to the processor either: huge pages took a third off a lookup. And nodes of 1 to 2
/// KiB that come and go are what malloc is slowest at. Under a sanitizer, which must see each node,
/// and for the largest nodes, malloc serves.
struct NodeSlabs: ~Copyable {
  static let spanSize = 1 << 16
  private static let regionSize = 1 << 21
  /// Where the blocks of a span begin; the header is before.
  private static let headerSize = 64
  /// Larger blocks come from malloc.
  private static let largestBlock = 16 * 1024

  /// The spans of one size of block that have free blocks.
  private var partial: [UnsafeMutableRawPointer?]
  /// Spans without any block in use.
  private var emptySpans: [UnsafeMutableRawPointer] = []
  /// Uncut memory of the newest region.
  private var uncut: Range<UnsafeMutableRawPointer>?
  private var regions: [UnsafeMutableRawPointer] = []
  /// The first spans of a store, cut from no region: most stores of tests stay this small.
  private var smallSpans: [UnsafeMutableRawPointer] = []
  private static let smallSpanLimit = 16

  init() {
    partial = Array(repeating: nil, count: Self.sizeClass(of: Self.largestBlock) + 1)
  }

  deinit {
    for region in regions { cadastre_unmap(region, Self.regionSize) }
    for span in smallSpans { span.deallocate() }
  }

  /// The bytes of memory that the slabs have taken from the system.
  var mappedByteCount: Int {
    regions.count * Self.regionSize + smallSpans.count * Self.spanSize
  }

  /// The size of the block that holds `byteCount` bytes.
  static func blockSize(for byteCount: Int) -> Int {
    if byteCount <= 4096 { return (byteCount + 63) & ~63 }
    return (byteCount + 511) & ~511
  }

  /// Sizes are multiples of a cache line up to 4 KiB, multiples of 512 bytes from there on.
  private static func sizeClass(of blockSize: Int) -> Int {
    blockSize <= 4096 ? blockSize / 64 : 64 + (blockSize - 4096) / 512
  }

  /// A block of a size that ``blockSize(for:)`` returned, aligned to 64 bytes.
  mutating func allocate(blockSize: Int) -> UnsafeMutableRawPointer {
    if blockSize > Self.largestBlock || cadastre_is_sanitized() {
      return .allocate(byteCount: blockSize, alignment: 64)
    }
    let sizeClass = Self.sizeClass(of: blockSize)
    let span = partial[sizeClass].map(Span.init) ?? makeSpan(blockSize, sizeClass)
    let block = span.take()
    if span.isFull {
      partial[sizeClass] = span.next
      span.next.map { Span(base: $0).setPrevious(nil) }
    }
    return block
  }

  /// Takes a block back.
  mutating func free(_ block: UnsafeMutableRawPointer, blockSize: Int) {
    if blockSize > Self.largestBlock || cadastre_is_sanitized() { return block.deallocate() }
    let sizeClass = Self.sizeClass(of: blockSize)
    let span = Span(
      base: block - Int(UInt(bitPattern: block) & UInt(Self.spanSize - 1)))
    let wasFull = span.isFull
    span.giveBack(block)
    if wasFull {
      link(span, sizeClass)
    } else if span.isEmpty, partial[sizeClass] != span.base {
      // One empty span a size stays, so that a block that comes and goes costs little.
      unlink(span, sizeClass)
      emptySpans.append(span.base)
    }
  }

  private mutating func makeSpan(_ blockSize: Int, _ sizeClass: Int) -> Span {
    let span = Span(base: emptySpans.popLast() ?? cutSpan())
    span.begin(blockSize: blockSize)
    link(span, sizeClass)
    return span
  }

  private mutating func cutSpan() -> UnsafeMutableRawPointer {
    if smallSpans.count < Self.smallSpanLimit {
      let span = UnsafeMutableRawPointer.allocate(
        byteCount: Self.spanSize, alignment: Self.spanSize)
      smallSpans.append(span)
      return span
    }
    if let rest = uncut, !rest.isEmpty {
      uncut = rest.lowerBound + Self.spanSize..<rest.upperBound
      return rest.lowerBound
    }
    guard let region = cadastre_map_huge(Self.regionSize) else {
      preconditionFailure("out of memory")
    }
    regions.append(region)
    uncut = region + Self.spanSize..<region + Self.regionSize
    return region
  }

  private mutating func link(_ span: Span, _ sizeClass: Int) {
    let next = partial[sizeClass]
    span.setNext(next)
    span.setPrevious(nil)
    next.map { Span(base: $0).setPrevious(span.base) }
    partial[sizeClass] = span.base
  }

  private mutating func unlink(_ span: Span, _ sizeClass: Int) {
    let previous = span.previous
    let next = span.next
    if let previous { Span(base: previous).setNext(next) } else { partial[sizeClass] = next }
    next.map { Span(base: $0).setPrevious(previous) }
  }
}

extension NodeSlabs {
  /// 64 KiB at a multiple of 64 KiB, so that a block's address tells its span.
  private struct Span {
    let base: UnsafeMutableRawPointer

    init(base: UnsafeMutableRawPointer) { self.base = base }

    // The header: next and previous span, first free block, bytes never handed out, block size,
    // blocks in use.
    private enum Offset {
      static let next = 0
      static let previous = 8
      static let free = 16
      static let fresh = 24
      static let blockSize = 28
      static let used = 32
    }

    var next: UnsafeMutableRawPointer? {
      base.load(fromByteOffset: Offset.next, as: UnsafeMutableRawPointer?.self)
    }

    var previous: UnsafeMutableRawPointer? {
      base.load(fromByteOffset: Offset.previous, as: UnsafeMutableRawPointer?.self)
    }

    func setNext(_ span: UnsafeMutableRawPointer?) {
      base.storeBytes(of: span, toByteOffset: Offset.next, as: UnsafeMutableRawPointer?.self)
    }

    func setPrevious(_ span: UnsafeMutableRawPointer?) {
      base.storeBytes(of: span, toByteOffset: Offset.previous, as: UnsafeMutableRawPointer?.self)
    }

    private var free: UnsafeMutableRawPointer? {
      base.load(fromByteOffset: Offset.free, as: UnsafeMutableRawPointer?.self)
    }

    private func setFree(_ block: UnsafeMutableRawPointer?) {
      base.storeBytes(of: block, toByteOffset: Offset.free, as: UnsafeMutableRawPointer?.self)
    }

    private func number(_ offset: Int) -> Int {
      Int(base.load(fromByteOffset: offset, as: UInt32.self))
    }

    private func set(_ offset: Int, to number: Int) {
      base.storeBytes(of: UInt32(number), toByteOffset: offset, as: UInt32.self)
    }

    func begin(blockSize: Int) {
      setFree(nil)
      set(Offset.fresh, to: NodeSlabs.headerSize)
      set(Offset.blockSize, to: blockSize)
      set(Offset.used, to: 0)
    }

    var isEmpty: Bool { number(Offset.used) == 0 }

    var isFull: Bool {
      free == nil && number(Offset.fresh) + number(Offset.blockSize) > NodeSlabs.spanSize
    }

    func take() -> UnsafeMutableRawPointer {
      set(Offset.used, to: number(Offset.used) + 1)
      if let block = free {
        setFree(block.load(as: UnsafeMutableRawPointer?.self))
        return block
      }
      let fresh = number(Offset.fresh)
      set(Offset.fresh, to: fresh + number(Offset.blockSize))
      return base + fresh
    }

    func giveBack(_ block: UnsafeMutableRawPointer) {
      block.storeBytes(of: free, as: UnsafeMutableRawPointer?.self)
      setFree(block)
      set(Offset.used, to: number(Offset.used) - 1)
    }
  }
}

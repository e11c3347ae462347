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
  /// The regions, each with the set of its spans that are idle: no block of theirs is in use, and
  /// they may serve any size.
  private var regions: [UnsafeMutableRawPointer: UInt32] = [:]
  /// A region of which a span became idle a moment ago.
  private var roomyRegion: UnsafeMutableRawPointer?
  /// The one region that stays though all of it is idle, so that memory that comes and goes costs
  /// little.
  private var reserve: UnsafeMutableRawPointer?
  /// The first spans of a store, cut from no region: most stores of tests stay this small.
  private var smallSpans: [UnsafeMutableRawPointer] = []
  private var idleSmallSpans: [UnsafeMutableRawPointer] = []
  private static let smallSpanLimit = 16
  private let isSanitized = cadastre_is_sanitized()

  init() {
    partial = Array(repeating: nil, count: Self.sizeClass(of: Self.largestBlock) + 1)
  }

  deinit {
    for region in regions.keys { cadastre_unmap(region, Self.regionSize) }
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
    if blockSize > Self.largestBlock || isSanitized {
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
    if blockSize > Self.largestBlock || isSanitized { return block.deallocate() }
    let sizeClass = Self.sizeClass(of: blockSize)
    let span = Span(
      base: block - Int(UInt(bitPattern: block) & UInt(Self.spanSize - 1)))
    let wasFull = span.isFull
    span.giveBack(block)
    if span.isEmpty {
      if !wasFull { unlink(span, sizeClass) }
      putSpan(span.base)
    } else if wasFull {
      link(span, sizeClass)
    }
  }

  private mutating func makeSpan(_ blockSize: Int, _ sizeClass: Int) -> Span {
    let span = Span(base: takeSpan())
    span.begin(blockSize: blockSize)
    link(span, sizeClass)
    return span
  }

  private mutating func takeSpan() -> UnsafeMutableRawPointer {
    if let span = idleSmallSpans.popLast() { return span }
    if smallSpans.count < Self.smallSpanLimit {
      let span = UnsafeMutableRawPointer.allocate(
        byteCount: Self.spanSize, alignment: Self.spanSize)
      smallSpans.append(span)
      return span
    }
    let region = regionWithRoom()
    let index = regions[region, default: 0].trailingZeroBitCount
    regions[region, default: 0] &= ~(1 << UInt32(index))
    if region == reserve { reserve = nil }
    return region + index * Self.spanSize
  }

  private mutating func regionWithRoom() -> UnsafeMutableRawPointer {
    if let roomyRegion, regions[roomyRegion, default: 0] != 0 { return roomyRegion }
    roomyRegion = regions.first { $0.value != 0 && $0.key != reserve }?.key ?? reserve
    if let roomyRegion { return roomyRegion }
    guard let region = cadastre_map_huge(Self.regionSize) else {
      preconditionFailure("out of memory")
    }
    regions[region] = .max
    roomyRegion = region
    return region
  }

  /// Takes back a span of which no block is in use. A region that is idle as a whole goes back to
  /// the system.
  private mutating func putSpan(_ span: UnsafeMutableRawPointer) {
    let offset = Int(UInt(bitPattern: span) & UInt(Self.regionSize - 1))
    let region = span - offset
    guard let idle = regions[region] else { return idleSmallSpans.append(span) }
    regions[region] = idle | 1 << UInt32(offset / Self.spanSize)
    if regions[region] != .max {
      roomyRegion = region
    } else if reserve == nil {
      reserve = region
      if roomyRegion == region { roomyRegion = nil }
    } else {
      regions[region] = nil
      if roomyRegion == region { roomyRegion = nil }
      cadastre_unmap(region, Self.regionSize)
    }
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

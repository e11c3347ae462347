/// A route as the index by start key stores it, but for its span, which the keys tell: read out of
/// a payload without allocating, and written into one.
///
/// ```
/// byte 0     low half: bytes of the id, high half: bytes of the group, 1 to 8 each
/// byte 1     state
/// then       id, group: little-endian, in as few bytes as they take
/// then       varints: parent (0 where there is none), version, milliseconds, counter
/// then       allowed regions: a varint count, and for each a varint length and the name
/// ```
///
/// What a router asks for stands at the front and is read at a fixed cost. The form is canonical:
/// equal routes have equal rows.
struct RouteRow {
  var id: UInt64
  var group: UInt64
  var state: UInt8
  /// 0 where there is none.
  var parent: UInt64
  var version: UInt64
  var changedAt: HybridTimestamp
  /// The allowed regions in the form that they have in a row. Lent.
  var regions: UnsafeRawBufferPointer

  /// How many bytes a row has at most, its regions aside.
  static let maximumFixedLength = 2 + 8 + 8 + 4 * 10
}

extension RouteRow {
  /// Reads a payload; see ``RouteIndex/payloadPadding``.
  init(_ payload: UnsafeRawBufferPointer) {
    var reader = RowReader(payload)
    let lengths = reader.byte()
    state = reader.byte()
    id = reader.number(byteCount: lengths & 0xF)
    group = reader.number(byteCount: lengths >> 4)
    parent = reader.varint()
    version = reader.varint()
    let milliseconds = reader.varint()
    changedAt = HybridTimestamp(milliseconds << 16 | reader.varint())
    regions = reader.rest
  }

  /// Reads the owner alone.
  @inline(__always)
  static func owner(in payload: UnsafeRawBufferPointer) -> RouteOwner {
    var reader = RowReader(payload)
    let lengths = reader.byte()
    let state = reader.byte()
    let id = reader.number(byteCount: lengths & 0xF)
    let group = reader.number(byteCount: lengths >> 4)
    return RouteOwner(
      route: RouteID(id), group: GroupID(group), state: RouteState(rawValue: state) ?? .active)
  }

  /// Lends the row's bytes.
  func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    withUnsafeTemporaryAllocation(
      byteCount: Self.maximumFixedLength + regions.count, alignment: 8
    ) { buffer in
      var writer = RowWriter(buffer)
      let idLength = RowWriter.byteCount(of: id)
      let groupLength = RowWriter.byteCount(of: group)
      writer.byte(UInt8(idLength | groupLength << 4))
      writer.byte(state)
      writer.number(id, byteCount: idLength)
      writer.number(group, byteCount: groupLength)
      writer.varint(parent)
      writer.varint(version)
      writer.varint(changedAt.milliseconds)
      writer.varint(UInt64(changedAt.counter))
      writer.bytes(regions)
      return body(writer.written)
    }
  }

  /// Lends the bytes of a route's row.
  static func withBytes(of route: Route, _ body: (UnsafeRawBufferPointer) -> Void) {
    bytes(of: route.allowedRegions).withUnsafeBytes { regions in
      RouteRow(
        id: route.id.rawValue, group: route.group.rawValue, state: route.state.rawValue,
        parent: route.parent?.rawValue ?? 0, version: route.version.rawValue,
        changedAt: route.changedAt, regions: regions
      ).withBytes(body)
    }
  }

  /// The digest of the route's record, given the keys that bound it.
  func digest(lower: UnsafeRawBufferPointer, upper: UpperBound) -> StateDigest {
    withRecord(lower: lower, upper: upper, StateDigest.init(ofRecord:))
  }

  /// Lends the route's record, given the keys that bound it; see `Route+Record.swift`.
  func withRecord<Result>(
    lower: UnsafeRawBufferPointer, upper: UpperBound, _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result {
    let room = 64 + lower.count + upper.length + regions.count
    return withUnsafeTemporaryAllocation(byteCount: room, alignment: 8) { buffer in
      var writer = RowWriter(buffer)
      writer.byte(Route.recordKind)
      writer.fixed64(id)
      writer.varint(UInt64(lower.count))
      writer.bytes(lower)
      switch upper {
      case .end:
        writer.byte(0)
      case .key(let key):
        writer.byte(1)
        writer.varint(UInt64(key.count))
        writer.bytes(key)
      case .entry(let entry):
        writer.byte(1)
        writer.varint(UInt64(entry.keyLength))
        writer.key(of: entry)
      }
      writer.fixed64(group)
      writer.byte(state)
      writer.fixed64(parent)
      writer.bytes(regions)
      writer.fixed64(version)
      writer.fixed64(changedAt.rawValue)
      return body(writer.written)
    }
  }

  /// Where a route ends.
  enum UpperBound {
    case end
    case key(UnsafeRawBufferPointer)
    case entry(RouteIndex.Entry)

    /// The bound that the entry of the next route makes.
    init(_ next: RouteIndex.Entry?) {
      self = next.map(UpperBound.entry) ?? .end
    }

    var length: Int {
      switch self {
      case .end: 0
      case .key(let key): key.count
      case .entry(let entry): entry.keyLength
      }
    }

    var key: Key? {
      switch self {
      case .end: nil
      case .key(let key): Key(unchecked: Array(key))
      case .entry(let entry): Key(unchecked: entry.key)
      }
    }
  }

  /// The route, with a span.
  func route(lower: Key, upper: Key?) -> Route {
    Route(
      id: RouteID(id), span: KeySpan(unchecked: lower, upper), group: GroupID(group),
      state: RouteState(rawValue: state) ?? .active, parent: parent == 0 ? nil : RouteID(parent),
      allowedRegions: RouteRow.regions(in: regions), version: CatalogVersion(version),
      changedAt: changedAt)
  }

  /// The regions as a row has them.
  static func bytes(of regions: [Region]) -> [UInt8] {
    guard !regions.isEmpty else { return [0] }
    var writer = ByteWriter(reserving: 2 + regions.count * (1 + Region.maximumLength))
    writer.varint(UInt64(regions.count))
    for region in regions {
      writer.byte(UInt8(region.name.utf8.count))
      writer.append(Array(region.name.utf8))
    }
    return writer.bytes
  }

  private static func regions(in bytes: UnsafeRawBufferPointer) -> [Region] {
    var reader = RowReader(bytes)
    let count = Int(reader.varint())
    guard count > 0 else { return [] }
    return (0..<count).map { _ in
      let length = Int(reader.varint())
      return Region(unchecked: String(decoding: reader.bytes(length), as: UTF8.self))
    }
  }
}

/// Reads what ``RowWriter`` wrote: our own bytes, so nothing is checked but in debug builds.
private struct RowReader {
  private var start: UnsafeRawPointer
  private let end: UnsafeRawPointer

  @inline(__always)
  init(_ bytes: UnsafeRawBufferPointer) {
    start = bytes.baseAddress.unsafelyUnwrapped
    end = start + bytes.count
  }

  @inline(__always)
  mutating func byte() -> UInt8 {
    assert(start < end)
    defer { start += 1 }
    return start.load(as: UInt8.self)
  }

  /// A little-endian number of 1 to 8 bytes; reads 8, past the end of the payload if need be.
  @inline(__always)
  mutating func number(byteCount: UInt8) -> UInt64 {
    assert(start + Int(byteCount) <= end)
    let word = UInt64(littleEndian: start.loadUnaligned(as: UInt64.self))
    start += Int(byteCount)
    return word & (.max &>> (64 &- 8 &* UInt64(byteCount)))
  }

  mutating func varint() -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let byte = byte()
      value |= UInt64(byte & 0x7F) &<< shift
      if byte < 0x80 { return value }
      shift += 7
    }
  }

  mutating func bytes(_ count: Int) -> UnsafeRawBufferPointer {
    assert(start + count <= end)
    defer { start += count }
    return UnsafeRawBufferPointer(start: start, count: count)
  }

  var rest: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: end - start) }
}

/// Writes into a buffer whose room was reckoned beforehand.
private struct RowWriter {
  private let buffer: UnsafeMutableRawBufferPointer
  private var count = 0

  init(_ buffer: UnsafeMutableRawBufferPointer) { self.buffer = buffer }

  var written: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: buffer[..<count]) }

  static func byteCount(of number: UInt64) -> Int {
    max(1, (64 - number.leadingZeroBitCount + 7) / 8)
  }

  mutating func byte(_ value: UInt8) {
    buffer[count] = value
    count += 1
  }

  /// The low bytes of a number, little-endian.
  mutating func number(_ value: UInt64, byteCount: Int) {
    buffer.storeBytes(of: value.littleEndian, toByteOffset: count, as: UInt64.self)
    count += byteCount
  }

  mutating func fixed64(_ value: UInt64) { number(value, byteCount: 8) }

  mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      byte(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    byte(UInt8(truncatingIfNeeded: rest))
  }

  mutating func bytes(_ bytes: UnsafeRawBufferPointer) {
    UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(from: bytes)
    count += bytes.count
  }

  mutating func key(of entry: RouteIndex.Entry) {
    count += entry.copyKey(into: UnsafeMutableRawBufferPointer(rebasing: buffer[count...]))
  }
}

import Catalog

/// Routes as bytes: the records that the digest is the sum of, one after the other. `FORMAT.md`
/// describes a record.
package enum RouteChunk {
  /// A chunk ends with the record that takes it to this many bytes.
  package static let targetByteCount = 64 << 10

  /// Why bytes are no chunk.
  package struct Malformed: Error, Hashable, Sendable, CustomStringConvertible {
    /// The offset of the record that is not one.
    package let offset: Int

    /// Where the bytes are wrong.
    package var description: String { "no route at byte \(offset)" }
  }

  /// Hands out all routes of `table` in key order, chunk by chunk. O(*n*).
  package static func encode<Failure: Error>(
    _ table: RouteTable, _ body: ([UInt8]) throws(Failure) -> Void
  ) throws(Failure) {
    var chunk: [UInt8] = []
    var next: Key? = .least
    while let start = next {
      let slice = table.routes(overlapping: KeySpan(unchecked: start, nil), limit: 4096)
      for route in slice {
        append(route, to: &chunk)
        if chunk.count >= targetByteCount {
          try body(chunk)
          chunk.removeAll(keepingCapacity: true)
        }
      }
      next = slice.last?.span.upper
    }
    if !chunk.isEmpty { try body(chunk) }
  }

  /// Adds the record of a route.
  package static func append(_ route: Route, to bytes: inout [UInt8]) { bytes += route.record }

  /// Adds the routes of a chunk to `routes`. Whether they tile the keyspace and have the right
  /// digest is for the state to say. No bytes trap. O(*n*).
  package static func decode(
    _ bytes: UnsafeRawBufferPointer, into routes: inout [Route]
  ) throws(Malformed) {
    var reader = RecordReader(bytes: bytes)
    while reader.offset < bytes.count {
      let start = reader.offset
      guard let route = reader.route() else { throw Malformed(offset: start) }
      routes.append(route)
    }
  }
}

/// Reads records; nil where the bytes are something else.
private struct RecordReader {
  let bytes: UnsafeRawBufferPointer
  var offset = 0

  init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  mutating func route() -> Route? {
    guard byte() == 1, let id = number(), let lower = key(), let hasUpper = byte(), hasUpper < 2
    else { return nil }
    var upper: Key?
    if hasUpper == 1 {
      guard let key = key(), lower < key else { return nil }
      upper = key
    }
    guard let group = number(), let state = byte().flatMap(RouteState.init(rawValue:)),
      let parent = number(), let regions = regions(), let version = number(),
      let changedAt = number()
    else { return nil }
    return Route(
      id: RouteID(id), span: KeySpan(unchecked: lower, upper), group: GroupID(group), state: state,
      parent: parent == 0 ? nil : RouteID(parent), allowedRegions: regions,
      version: CatalogVersion(version), changedAt: HybridTimestamp(changedAt))
  }

  private mutating func byte() -> UInt8? {
    guard offset < bytes.count else { return nil }
    defer { offset += 1 }
    return bytes[offset]
  }

  private mutating func number() -> UInt64? {
    slice(8).map { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
  }

  /// A varint that promises at most `limit`.
  private mutating func count(limit: Int) -> Int? {
    var value = 0
    for shift in [0, 7, 14] {
      guard let next = byte() else { return nil }
      value |= Int(next & 0x7F) << shift
      if next < 0x80 { return value <= limit && (next > 0 || shift == 0) ? value : nil }
    }
    return nil
  }

  private mutating func slice(_ count: Int) -> UnsafeRawBufferPointer? {
    guard count <= bytes.count - offset else { return nil }
    defer { offset += count }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
  }

  private mutating func key() -> Key? {
    count(limit: Key.maximumLength).flatMap { slice($0) }.map { Key(unchecked: Array($0)) }
  }

  private mutating func regions() -> [Region]? {
    guard let count = count(limit: 1 << 20) else { return nil }
    var regions: [Region] = []
    for _ in 0..<count {
      guard let name = self.count(limit: Region.maximumLength).flatMap({ slice($0) }),
        let region = try? Region(String(decoding: name, as: UTF8.self)),
        regions.last.map({ $0 < region }) ?? true
      else { return nil }
      regions.append(region)
    }
    return regions
  }
}

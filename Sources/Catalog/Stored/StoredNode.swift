/// A node as it is stored, read in place; `FORMAT.md` says what its bytes mean. Lent: valid as long
/// as the bytes are.
///
/// The bytes may hold anything. What is not exactly what ``StoredNodeEncoder`` writes is refused.
struct StoredNode {
  /// The format that is written, and the newest that is read.
  static let format: UInt8 = 1
  /// More bytes than any node has.
  static let maximumByteCount = 1 << 17
  /// An id and a hash.
  static let childByteCount = 8 + EntryHash.byteCount

  /// Where in the bytes an entry's pieces are.
  struct Entry {
    var suffix: Range<UInt32>
    /// Empty in an inner node.
    var payload: Range<UInt32>
  }

  let bytes: UnsafeRawBufferPointer
  /// Where the node is stored; 0 for bytes that were not found by a reference.
  private(set) var id: UInt64 = 0
  /// 0 for a leaf.
  let level: Int
  /// What all keys begin with.
  let prefix: UnsafeRawBufferPointer
  let entries: [Entry]
  private let childrenStart: Int

  init(_ bytes: UnsafeRawBufferPointer) throws(StoredNodeError.Problem) {
    guard bytes.count <= Self.maximumByteCount else { throw .tooLarge(byteCount: bytes.count) }
    var reader = StoredNodeReader(bytes)
    let format = try reader.byte()
    guard format == Self.format else { throw .unknownFormat(format) }
    level = Int(try reader.byte())
    let count = Int(try reader.byte())
    guard count > 0 else { throw .empty }
    let shared = try reader.piece(limit: RouteIndex.maximumKeyLength, position: 0)
    prefix = UnsafeRawBufferPointer(
      rebasing: bytes[Int(shared.lowerBound)..<Int(shared.upperBound)])

    var entries: [Entry] = []
    entries.reserveCapacity(count)
    for position in 0..<count {
      let suffix = try reader.piece(
        limit: RouteIndex.maximumKeyLength - prefix.count, position: position)
      if let last = entries.last {
        let before = UnsafeRawBufferPointer(
          rebasing: bytes[Int(last.suffix.lowerBound)..<Int(last.suffix.upperBound)])
        let key = UnsafeRawBufferPointer(
          rebasing: bytes[Int(suffix.lowerBound)..<Int(suffix.upperBound)])
        guard before.isOrdered(before: key) else { throw .keysNotAscending(position: position) }
      }
      let payload =
        level == 0
        ? try reader.piece(limit: RouteIndex.maximumPayloadLength, position: position)
        : suffix.upperBound..<suffix.upperBound
      entries.append(Entry(suffix: suffix, payload: payload))
    }
    self.entries = entries
    self.bytes = bytes
    childrenStart = reader.offset
    if level > 0 { try reader.skip((count + 1) * Self.childByteCount) }
    guard reader.offset == bytes.count else {
      throw .trailingBytes(count: bytes.count - reader.offset)
    }
    for position in 0..<childCount where childID(at: position) == 0 {
      throw .badChild(position: position)
    }
  }

  /// How many keys there are.
  var count: Int { entries.count }

  /// How many children there are: none in a leaf, one more than keys elsewhere.
  var childCount: Int { level == 0 ? 0 : count + 1 }

  @inline(__always)
  func suffix(at position: Int) -> UnsafeRawBufferPointer { slice(entries[position].suffix) }

  @inline(__always)
  func payload(at position: Int) -> UnsafeRawBufferPointer { slice(entries[position].payload) }

  func key(at position: Int) -> StoredKey {
    StoredKey(prefix: prefix, suffix: suffix(at: position))
  }

  func child(at position: Int) -> StoredNodeReference {
    let start = childrenStart + position * Self.childByteCount
    let hash = UnsafeRawBufferPointer(rebasing: bytes[start + 8..<start + Self.childByteCount])
    return StoredNodeReference(id: childID(at: position), hash: EntryHash(load: hash))
  }

  private func childID(at position: Int) -> UInt64 {
    UInt64(
      littleEndian: bytes.loadUnaligned(
        fromByteOffset: childrenStart + position * Self.childByteCount, as: UInt64.self))
  }

  @inline(__always)
  private func slice(_ range: Range<UInt32>) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes[Int(range.lowerBound)..<Int(range.upperBound)])
  }
}

extension StoredNode {
  /// Where a node hangs: what the nodes above say of it.
  struct Place {
    var level: Int
    /// The separators around the node; nil where there is none.
    var low: StoredKey?
    var high: StoredKey?

    /// Whether a key belongs there.
    func contains(_ key: StoredKey) -> Bool {
      (low.map { $0.compare(key) <= 0 } ?? true) && (high.map { key.compare($0) < 0 } ?? true)
    }

    /// Whether the same separators are around another place.
    func hasSameSeparators(as other: Place) -> Bool {
      func isSame(_ left: StoredKey?, _ right: StoredKey?) -> Bool {
        guard let left, let right else { return left == nil && right == nil }
        return left.compare(right) == 0
      }
      return isSame(low, other.low) && isSame(high, other.high)
    }
  }

  /// Reads a node; `bytes` are nil where there is none. That the bytes and their place in the tree
  /// are what the nodes above say is proven then.
  static func proven(
    _ bytes: UnsafeRawBufferPointer?, _ reference: StoredNodeReference, _ place: Place
  ) throws(StoredNodeError) -> StoredNode {
    do throws(StoredNodeError.Problem) {
      guard let bytes else { throw .missing }
      let hash = EntryHash(of: bytes)
      guard hash == reference.hash else {
        throw .wrongHash(expected: reference.hash, found: hash)
      }
      var node = try StoredNode(bytes)
      try node.check(place)
      node.id = reference.id
      return node
    } catch {
      throw StoredNodeError(error, node: reference.id)
    }
  }

  private func check(_ place: Place) throws(StoredNodeError.Problem) {
    guard level == place.level else { throw .wrongLevel(expected: place.level, found: level) }
    // A search never compares a prefix, so both separators must have it: all that sorts between
    // them has it then, and nothing needs it where a separator is missing.
    guard prefix.isEmpty || (place.low?.hasPrefix(prefix) ?? false),
      prefix.isEmpty || (place.high?.hasPrefix(prefix) ?? false)
    else { throw .outsideSeparators }
    if let low = place.low, key(at: 0).compare(low) < 0 { throw .outsideSeparators }
    if let high = place.high, key(at: count - 1).compare(high) >= 0 { throw .outsideSeparators }
  }

  /// Where the child at a position hangs, given where this node does.
  func place(ofChild position: Int, in place: Place) -> Place {
    Place(
      level: level - 1, low: position > 0 ? key(at: position - 1) : place.low,
      high: position < count ? key(at: position) : place.high)
  }
}

/// Reads the pieces of a stored node; never outside its bytes.
private struct StoredNodeReader {
  private var reader: ByteReader

  init(_ bytes: UnsafeRawBufferPointer) { reader = ByteReader(bytes) }

  var offset: Int { reader.offset }

  mutating func byte() throws(StoredNodeError.Problem) -> UInt8 {
    do throws(LogCodingError) { return try reader.byte() } catch { throw .malformed(error) }
  }

  mutating func skip(_ count: Int) throws(StoredNodeError.Problem) {
    do throws(LogCodingError) { _ = try reader.slice(count: count) } catch {
      throw .malformed(error)
    }
  }

  /// Bytes behind their length: where they are.
  mutating func piece(limit: Int, position: Int) throws(StoredNodeError.Problem) -> Range<UInt32> {
    do throws(LogCodingError) {
      let length = try reader.varint()
      if length <= UInt64(limit) {
        _ = try reader.slice(count: Int(length))
        return UInt32(reader.offset - Int(length))..<UInt32(reader.offset)
      }
    } catch {
      throw .malformed(error)
    }
    throw .tooLong(position: position)
  }
}

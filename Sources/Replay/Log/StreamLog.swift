import Catalog

/// What those who follow a stream, of a catalog or of a region, are served from.
///
/// All operations are synchronous, and run beside the one writer.
package protocol StreamLog: Sendable {
  /// The position of the first entry that is kept, or that the next append gets.
  func firstPosition() throws(StoreError) -> LogPosition

  /// The entry at a position; nil when there is none.
  func entry(at position: LogPosition) throws(StoreError) -> EncodedEntry?

  /// Lends the bytes of entries from a position on, at least one where there is one, at most
  /// `maxCount`, and no more once they sum up to `maxBytes`. None past the end.
  ///
  /// - Throws: ``StoreError/notRetained(_:first:)`` when the log begins later, and
  ///   ``StoreError/gap(expected:found:)`` when an entry is missing; or what `body` throws.
  func scan(
    from start: LogPosition, maxCount: Int, maxBytes: Int,
    _ body: (LogPosition, UnsafeRawBufferPointer) throws(StoreError) -> Void
  ) throws(StoreError)
}

extension StreamLog {
  /// The bytes of entries from a position on; see ``scan(from:maxCount:maxBytes:_:)``.
  package func entryBytes(
    from start: LogPosition, maxCount: Int, maxBytes: Int = .max
  ) throws(StoreError) -> [[UInt8]] {
    var result: [[UInt8]] = []
    try scan(from: start, maxCount: maxCount, maxBytes: maxBytes) { _, bytes in
      result.append([UInt8](bytes))
    }
    return result
  }

  /// The hash that the entry at a position must have, whatever its bytes are by now; or that of the
  /// last one in the state that the log begins after. `proven` is the last entry that is proven. nil
  /// where the hash is not known.
  ///
  /// Every entry names the one before it, also the first after a base. What follows the last proven
  /// entry is asked too: that may name another one, and then it is this entry that is damaged.
  ///
  /// - Throws: ``StoreError/damaged(_:_:)`` when the entry after it is none.
  func hash(at position: LogPosition, before proven: LogTail) throws(StoreError) -> EntryHash? {
    let isLast = position == proven.position
    var hash: EntryHash?
    do throws(StoreError) {
      try scan(from: position.next, maxCount: 1, maxBytes: .max) {
        (position, bytes) throws(StoreError) in
        hash = try EventLog.header(bytes, at: position).previous
      }
    } catch {
      guard isLast else { throw error }
    }
    return hash ?? (isLast ? proven.hash : nil)
  }
}

/// A region's log, as those who follow it read it.
struct FollowedRegionLog: StreamLog {
  let log: any RegionLog

  func firstPosition() throws(StoreError) -> LogPosition { try log.firstPosition() }

  func entry(at position: LogPosition) throws(StoreError) -> EncodedEntry? {
    try log.entry(at: position)
  }

  func scan(
    from start: LogPosition, maxCount: Int, maxBytes: Int,
    _ body: (LogPosition, UnsafeRawBufferPointer) throws(StoreError) -> Void
  ) throws(StoreError) {
    for encoded in try log.entries(from: start, maxCount: maxCount, maxBytes: maxBytes) {
      try encoded.bytes.withRawBytes { (bytes) throws(StoreError) in
        try body(encoded.entry.position, bytes)
      }
    }
  }
}

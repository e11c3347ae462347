import Catalog

extension EventLog {
  /// Hands out the hashes of entries in order: those after `start`, up to `end`. They are taken from
  /// the entries that name them, that of `end` from its bytes. O(*n*).
  ///
  /// - Throws: ``StoreError/notRetained(_:first:)`` when the log begins later.
  func hashes(
    after start: LogPosition, through end: LogPosition,
    _ body: (LogPosition, EntryHash) throws(StoreError) -> Void
  ) throws(StoreError) {
    guard start < end else { return }
    var next = start.next
    while next <= end {
      var last: (position: LogPosition, hash: EntryHash)?
      // In slices, so that no read holds back the pages of what is removed meanwhile.
      let count = min(4096, end.rawValue - next.rawValue + 1)
      try scan(from: next, maxCount: Int(count), maxBytes: 64 << 20) {
        (position, bytes) throws(StoreError) in
        guard bytes.count >= 48, let previous = EntryHash(bytes: bytes[16..<48]) else {
          throw .damaged(position, .undecodable("it is too short"))
        }
        if position > start.next { try body(LogPosition(position.rawValue - 1), previous) }
        last = (position, position == end ? EntryHash(of: bytes) : previous)
      }
      guard let last else { throw .gap(expected: next, found: end) }
      if last.position == end { try body(end, last.hash) }
      next = last.position.next
    }
  }
}

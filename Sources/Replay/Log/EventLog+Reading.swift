import Catalog
import Synchronization

extension EventLog {
  /// Where the log ends, as it stands now: another process may be writing it. O(log *n*).
  package func tail() throws(StoreError) -> Tail {
    if let tail = writerTail.withLock({ $0 }) { return tail }
    return try environment.read { transaction throws(StoreError) in
      try tail(in: transaction)
    }
  }

  /// The position of the last entry; that of the base, or zero, when there are none. Proves
  /// nothing. O(log *n*).
  package func lastPosition() throws(StoreError) -> LogPosition {
    try environment.read { transaction throws(StoreError) in
      try lastPosition(in: transaction)
    }
  }

  /// The position of the first entry that is kept, or that the next append gets. O(log *n*).
  package func firstPosition() throws(StoreError) -> LogPosition {
    try environment.read { transaction throws(StoreError) in
      try firstPosition(in: transaction)
    }
  }

  /// Entries from a position on, decoded and hashed; see ``CatalogLog/entryBytes(from:maxCount:maxBytes:)``.
  ///
  /// - Throws: ``StoreError/damaged(_:_:)`` when the first of them is no entry; damage behind it ends
  ///   the result.
  package func entries(
    from start: LogPosition, maxCount: Int, maxBytes: Int = .max
  ) throws(StoreError) -> [EncodedEntry] {
    var result: [EncodedEntry] = []
    do throws(StoreError) {
      try scan(from: start, maxCount: maxCount, maxBytes: maxBytes) {
        (position, bytes) throws(StoreError) in
        result.append(try EventLog.decode(bytes, at: position))
      }
    } catch {
      if result.isEmpty { throw error }
    }
    return result
  }

  /// The entry at a position; nil when there is none.
  package func entry(at position: LogPosition) throws(StoreError) -> EncodedEntry? {
    try environment.read { transaction throws(StoreError) in
      try entry(at: position, in: transaction)
    }
  }

  /// The position of the entry that made a version; nil when the log does not have it. O(log *n*).
  package func position(of version: CatalogVersion) throws(StoreError) -> LogPosition? {
    try environment.read { transaction throws(StoreError) in
      let position = try transaction.value(of: version.rawValue, in: tables.versions) {
        UInt64(stored: $0)
      }
      // A trim removes rows a while after it let the log begin later.
      guard let position, let position,
        try LogPosition(position) >= firstPosition(in: transaction)
      else { return nil }
      return LogPosition(position)
    }
  }

  /// The last entry at or before a time; nil when the log begins later or is empty. O(log² *n*).
  package func position(at time: HybridTimestamp) throws(StoreError) -> LogPosition? {
    try environment.read { transaction throws(StoreError) in
      // The answer is in low..<high, where low stands for "none".
      var low = try firstPosition(in: transaction).rawValue - 1
      let before = low
      var high = try lastPosition(in: transaction).rawValue + 1
      while high - low > 1 {
        let middle = LogPosition(low + (high - low) / 2)
        let header = try transaction.value(of: middle.rawValue, in: tables.entries) {
          (bytes) throws(StoreError) in try EventLog.header(bytes, at: middle)
        }
        guard let header else { throw .gap(expected: middle, found: middle.next) }
        if header.time <= time { low = middle.rawValue } else { high = middle.rawValue }
      }
      return low == before ? nil : LogPosition(low)
    }
  }

  /// Lends the bytes of entries from a position on, in one read transaction.
  ///
  /// - Throws: ``StoreError/gap(expected:found:)`` when the next position is not there though a later
  ///   one is.
  package func scan(
    from start: LogPosition, maxCount: Int, maxBytes: Int,
    _ body: (LogPosition, UnsafeRawBufferPointer) throws(StoreError) -> Void
  ) throws(StoreError) {
    try environment.read { transaction throws(StoreError) in
      let first = try firstPosition(in: transaction)
      guard start >= first else { throw .notRetained(start, first: first) }
      guard maxCount > 0 else { return }
      var expected = start
      var (count, byteCount) = (0, 0)
      try transaction.scan(tables.entries, from: start.rawValue) {
        (key, bytes) throws(StoreError) in
        let position = try EventLog.position(key, expected: expected)
        guard position == expected else { throw .gap(expected: expected, found: position) }
        try body(position, bytes)
        expected = expected.next
        count += 1
        byteCount += bytes.count
        return count < maxCount && byteCount < maxBytes
      }
    }
  }

  func entry(
    at position: LogPosition, in transaction: borrowing LMDB.ReadTransaction
  ) throws(StoreError) -> EncodedEntry? {
    try transaction.value(of: position.rawValue, in: tables.entries) {
      (bytes) throws(StoreError) in try EventLog.decode(bytes, at: position)
    }
  }

  /// The last entry's position, or that of the base, or zero. O(log *n*), and decodes nothing.
  func lastPosition(
    in transaction: borrowing some LMDB.Transaction & ~Copyable
  ) throws(StoreError) -> LogPosition {
    let last = try transaction.last(in: tables.entries) { (key, _) throws(StoreError) in
      try EventLog.position(key, expected: LogPosition(1))
    }
    let base = try baseHeader(in: transaction)?.position ?? .zero
    return max(last ?? base, base)
  }

  func firstPosition(
    in transaction: borrowing LMDB.ReadTransaction
  ) throws(StoreError) -> LogPosition {
    let first = try transaction.first(in: tables.entries) { (key, _) throws(StoreError) in
      try EventLog.position(key, expected: LogPosition(1))
    }
    let base = try baseHeader(in: transaction)?.position.next ?? LogPosition(1)
    return max(first ?? base, base)
  }

  static func position(
    _ key: UnsafeRawBufferPointer, expected: LogPosition
  ) throws(StoreError) -> LogPosition {
    guard let position = UInt64(key: key), position > 0, position <= LogPosition.last.rawValue
    else {
      throw .damaged(expected, .index("its key is no position"))
    }
    return LogPosition(position)
  }

  static func decode(
    _ bytes: UnsafeRawBufferPointer, at position: LogPosition
  ) throws(StoreError) -> EncodedEntry {
    let encoded: EncodedEntry
    do {
      encoded = try EncodedEntry(decoding: bytes)
    } catch {
      throw StoreError(error, at: position)
    }
    guard encoded.entry.position == position else {
      throw .damaged(position, .misplaced(encoded.entry.position))
    }
    return encoded
  }

  static func header(
    _ bytes: UnsafeRawBufferPointer, at position: LogPosition
  ) throws(StoreError) -> LogEntryHeader {
    do {
      return try LogEntryHeader(decoding: bytes)
    } catch {
      throw StoreError(error, at: position)
    }
  }
}

extension CatalogLog {
  /// The same error, with the names of the capabilities that an entry needs and this reader lacks.
  func naming(_ error: StoreError, _ names: [UInt8: String]) -> StoreError {
    guard case .needsNewerReader(let position, _) = error else { return error }
    var found: [UInt8]?
    try? scan(from: position, maxCount: 1, maxBytes: 1) { _, bytes in found = [UInt8](bytes) }
    guard let bytes = found else { return error }
    do throws(LogCodingError) {
      _ = try bytes.withUnsafeBufferPointer { (buffer) throws(LogCodingError) in
        try LogEntryHeader(decoding: UnsafeRawBufferPointer(buffer), reading: reading)
      }
      return error
    } catch {
      return StoreError(error, at: position, names: names)
    }
  }
}

extension StoreError {
  /// Why the bytes at a position are not read; see ``init(lacking:at:names:)``.
  package init(_ error: LogCodingError, at position: LogPosition, names: [UInt8: String]) {
    if case .lacksCapabilities(let lacking) = error.problem {
      self.init(lacking: lacking, at: position, names: names)
    } else {
      self.init(error, at: position)
    }
  }

  /// The entry at a position needs capabilities that this reader lacks. `names` has those that the log
  /// gave to capabilities which this release does not know.
  package init(
    lacking capabilities: CapabilitySet, at position: LogPosition, names: [UInt8: String]
  ) {
    let names = capabilities.names(names).joined(separator: ", ")
    self = .needsNewerReader(
      position, "it needs \(names), which this release lacks: the version before it is served")
  }

  /// Why the bytes at a position are not read.
  package init(_ error: LogCodingError, at position: LogPosition) {
    self =
      error.needsNewerReader
      ? .needsNewerReader(position, "\(error)")
      : .damaged(position, .undecodable("\(error)"))
  }
}

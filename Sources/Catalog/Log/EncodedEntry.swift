/// An entry with the bytes that stand for it in the log and their hash, which the next entry names.
package struct EncodedEntry: Hashable, Sendable {
  package let entry: LogEntry
  package let bytes: [UInt8]
  package let hash: EntryHash

  /// Encodes `entry`. O(*n*) in its size.
  ///
  /// - Throws: ``LogCodingError`` when it has no encoding; see ``LogEntry/encoded()``.
  package init(_ entry: LogEntry) throws(LogCodingError) {
    self.entry = entry
    bytes = try entry.encoded()
    hash = bytes.withUnsafeBytes(EntryHash.init(of:))
  }

  /// Decodes an entry and hashes its bytes. Whether it fits a chain is for the state to say.
  /// O(*n*) in the number of bytes.
  ///
  /// - Throws: ``LogCodingError`` when the bytes are not an entry's.
  package init(
    decoding bytes: [UInt8], reading: CapabilitySet = .known
  ) throws(LogCodingError) {
    entry = try bytes.withUnsafeBufferPointer { bytes throws(LogCodingError) in
      try LogEntry(decoding: UnsafeRawBufferPointer(bytes), reading: reading)
    }
    self.bytes = bytes
    hash = bytes.withUnsafeBytes(EntryHash.init(of:))
  }

  /// Like ``init(decoding:)-([UInt8])``, from bytes that somebody else keeps, as in a memory map.
  package init(decoding bytes: UnsafeRawBufferPointer) throws(LogCodingError) {
    entry = try LogEntry(decoding: bytes)
    self.bytes = [UInt8](bytes)
    hash = EntryHash(of: bytes)
  }

  package static func == (left: EncodedEntry, right: EncodedEntry) -> Bool {
    left.bytes == right.bytes
  }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(hash)
  }
}

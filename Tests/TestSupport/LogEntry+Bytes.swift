import Catalog

extension LogEntry {
  /// Decodes an entry from an array.
  package init(decoding bytes: [UInt8]) throws(LogCodingError) {
    self = try bytes.withUnsafeBufferPointer { bytes throws(LogCodingError) in
      try LogEntry(decoding: UnsafeRawBufferPointer(bytes))
    }
  }
}

extension LogEntryHeader {
  /// Decodes an entry's header from an array.
  package init(decoding bytes: [UInt8]) throws(LogCodingError) {
    self = try bytes.withUnsafeBufferPointer { bytes throws(LogCodingError) in
      try LogEntryHeader(decoding: UnsafeRawBufferPointer(bytes))
    }
  }
}

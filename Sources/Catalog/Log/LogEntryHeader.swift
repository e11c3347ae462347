/// What an entry says of itself before its events: enough to place it in the chain, and to answer
/// who, when and why, without reading what it changed.
package struct LogEntryHeader: Hashable, Sendable {
  package let stream: StreamKind
  package let position: LogPosition
  package let previous: EntryHash
  package let time: HybridTimestamp
  /// The catalog's version after the entry.
  package let version: CatalogVersion
  /// The digest of the state after the entry.
  package let digest: StateDigest
  package let command: CommandID
  package let actor: String
  package let reason: String
  package let eventCount: Int
  /// What a reader must be able to read for the events.
  package let neededCapabilities: CapabilitySet

  /// Reads the beginning of an entry's bytes and does not look at the events, which may be damaged
  /// or of kinds that are unknown here. O(1).
  ///
  /// - Throws: ``LogCodingError`` when the bytes do not begin as an entry does.
  package init(
    decoding bytes: UnsafeRawBufferPointer, reading: CapabilitySet = .known
  ) throws(LogCodingError) {
    var reader = ByteReader(bytes)
    try self.init(from: &reader, reading: reading)
  }

  init(from reader: inout ByteReader, reading: CapabilitySet) throws(LogCodingError) {
    guard try reader.byte() == LogFormat.magic.0, try reader.byte() == LogFormat.magic.1,
      try reader.byte() == LogFormat.magic.2
    else { throw LogCodingError(.notAnEntry, at: 0) }
    let format = try reader.byte()
    guard format == LogFormat.version else { throw LogCodingError(.unknownFormat(format), at: 3) }
    let number = try reader.byte()
    guard let stream = StreamKind(rawValue: number) else {
      throw LogCodingError(.unknownStream(number), at: 4)
    }
    self.stream = stream
    let flags = try reader.byte()
    guard flags == 0 else { throw LogCodingError(.unknownFlags(flags), at: 5) }
    neededCapabilities = CapabilitySet(
      rawValue: try UInt16(reader.byte()) | UInt16(reader.byte()) << 8)
    let lacking = neededCapabilities.subtracting(reading)
    guard lacking.isEmpty else {
      throw LogCodingError(.lacksCapabilities(lacking), at: LogFormat.capabilitiesOffset)
    }
    guard
      neededCapabilities.intersection(.regionStreams).rawValue == stream.neededCapabilities
    else {
      throw LogCodingError(
        .wrongStreamCapabilities(
          neededCapabilities.rawValue, needed: stream.neededCapabilities),
        at: LogFormat.capabilitiesOffset)
    }
    position = LogPosition(try reader.fixed64())
    previous = try reader.fixedBytes()
    time = HybridTimestamp(try reader.fixed64())
    version = CatalogVersion(try reader.fixed64())
    digest = StateDigest(load: try reader.slice(count: StateDigest.byteCount))
    command = try reader.fixedBytes()
    actor = try reader.text()
    reason = try reader.text()
    eventCount = try reader.count(minimumByteCount: LogFormat.minimumEventByteCount)
  }
}

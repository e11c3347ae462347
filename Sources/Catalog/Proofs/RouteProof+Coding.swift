extension RouteProof {
  /// Why bytes are not a proof.
  package enum CodingError: Error, Hashable, Sendable {
    case notAProof
    /// A format that this reader does not know; it knows ``RouteProof/format``.
    case unknownFormat(UInt8)
    /// The bytes are not those that were written: their checksum is another.
    case damaged
    /// What stands at this offset has no place in a proof.
    case malformed(offset: Int)
  }

  /// The proof's bytes, of which there is one form; `FORMAT.md` describes it. O(*n*).
  ///
  /// - Throws: ``LogCodingError`` when the key is too long.
  package func encoded() throws(LogCodingError) -> [UInt8] {
    var writer = ByteWriter(reserving: 4096)
    writer.append(Self.magic)
    writer.byte(Self.format)
    try writer.key(key)
    writer.varint(version.rawValue)
    writer.varint(anchor.rawValue)
    writer.varint(UInt64(routes.count))
    for committed in routes {
      writer.append(committed.route.record)
      writer.path(committed.path)
    }
    writer.varint(UInt64(runs.count))
    for run in runs {
      writer.varint(UInt64(run.entries.count))
      for entry in run.entries {
        writer.varint(UInt64(entry.count))
        writer.append(entry)
      }
      writer.path(run.path)
    }
    let checksum = writer.bytes.withUnsafeBytes(EntryHash.init(of:))
    return writer.bytes + checksum.bytes
  }

  /// Reads the one form that ``encoded()`` writes, and refuses every other. What the proof claims is
  /// not looked at. No bytes trap. O(*n*).
  package init(decoding bytes: [UInt8]) throws(CodingError) {
    guard bytes.count >= 4, Array(bytes.prefix(3)) == Self.magic else { throw .notAProof }
    guard bytes[3] == Self.format else { throw .unknownFormat(bytes[3]) }
    guard bytes.count >= 4 + EntryHash.byteCount else { throw .damaged }
    let end = bytes.count - EntryHash.byteCount
    let body = bytes[..<end]
    let checksum = body.withUnsafeBytes(EntryHash.init(of:))
    guard checksum == EntryHash(bytes: bytes[end...]) else { throw .damaged }
    self = try body.withUnsafeBufferPointer { (buffer) throws(CodingError) in
      var reader = ByteReader(UnsafeRawBufferPointer(buffer))
      do throws(LogCodingError) {
        _ = try reader.slice(count: 4)
        let proof = try RouteProof(from: &reader)
        if reader.remaining == 0 { return proof }
      } catch {
        throw .malformed(offset: error.offset)
      }
      throw .malformed(offset: reader.offset)
    }
  }

  private init(from reader: inout ByteReader) throws(LogCodingError) {
    key = try reader.key()
    version = CatalogVersion(try reader.varint())
    anchor = LogPosition(try reader.varint())
    routes = []
    for _ in 0..<(try reader.count(minimumByteCount: 40)) {
      routes.append(
        CommittedRoute(route: try reader.routeRecord(), path: try reader.path(limit: 64)))
    }
    runs = []
    for _ in 0..<(try reader.count(minimumByteCount: 3)) {
      var run = Run(entries: [])
      for _ in 0..<(try reader.count(minimumByteCount: 2)) {
        let count = try reader.count(minimumByteCount: 1)
        run.entries.append([UInt8](try reader.slice(count: count)))
      }
      run.path = try reader.path(limit: 64)
      runs.append(run)
    }
  }
}

extension ByteWriter {
  fileprivate mutating func path(_ path: [MerkleHash]) {
    varint(UInt64(path.count))
    for node in path { append(node.bytes) }
  }
}

extension ByteReader {
  fileprivate mutating func path(limit: Int) throws(LogCodingError) -> [MerkleHash] {
    let start = offset
    let count = try count(minimumByteCount: MerkleHash.byteCount)
    guard count <= limit else { throw LogCodingError(.countTooLarge(UInt64(count)), at: start) }
    var path: [MerkleHash] = []
    for _ in 0..<count { path.append(try fixedBytes()) }
    return path
  }

  /// A route's record, in the one form that it has.
  mutating func routeRecord() throws(LogCodingError) -> Route {
    let start = offset
    guard try byte() == Route.recordKind else { throw LogCodingError(.notAnEntry, at: start) }
    let id = RouteID(try fixed64())
    let lower = try key()
    let hasUpper = try byte()
    guard hasUpper < 2 else { throw LogCodingError(.notAnEntry, at: offset - 1) }
    let upper = hasUpper == 1 ? try key() : nil
    guard upper.map({ lower < $0 }) ?? true else { throw LogCodingError(.notAnEntry, at: start) }
    let group = GroupID(try fixed64())
    let state = try routeState()
    let parent = try fixed64()
    return Route(
      id: id, span: KeySpan(unchecked: lower, upper), group: group, state: state,
      parent: parent == 0 ? nil : RouteID(parent), allowedRegions: try regions(),
      version: CatalogVersion(try fixed64()), changedAt: HybridTimestamp(try fixed64()))
  }
}

extension RouteProof.CodingError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .notAProof: "these are not the first bytes of a proof"
    case .unknownFormat(let format):
      "format \(format) of proofs is unknown here, format \(RouteProof.format) is the newest that "
        + "is known"
    case .damaged: "these are not the bytes that were written: their checksum is another"
    case .malformed(let offset): "byte \(offset) has no place in a proof"
    }
  }
}

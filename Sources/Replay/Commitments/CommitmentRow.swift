import Catalog

/// What the checkpoints keep of a commitment: enough to go on with the log's tree when the entries
/// that it was made of are gone.
struct CommitmentRow: Hashable, Sendable {
  /// The version that is committed to.
  var version: CatalogVersion
  var routesRoot: MerkleHash
  /// The log's tree up to the position that is committed to.
  var frontier: LogFrontier

  var commitment: CatalogCommitment {
    CatalogCommitment(
      version: version, position: frontier.position, routesRoot: routesRoot,
      logRoot: frontier.root)
  }

  /// u64 version, u64 position, the routes' root, the frontier's nodes, then the SHA-256 of those
  /// bytes.
  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    for number in [version.rawValue, frontier.count] {
      withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }
    bytes += routesRoot.bytes
    for node in frontier.nodes { bytes += node.bytes }
    return bytes + bytes.withUnsafeBytes(EntryHash.init(of:)).bytes
  }

  init(version: CatalogVersion, routesRoot: MerkleHash, frontier: LogFrontier) {
    self.version = version
    self.routesRoot = routesRoot
    self.frontier = frontier
  }

  /// Reads what ``bytes`` writes; nil when it is anything else. No bytes trap.
  init?(_ bytes: UnsafeRawBufferPointer) {
    let end = bytes.count - EntryHash.byteCount
    guard end >= 48, (end - 48) % 32 == 0 else { return nil }
    let fields = UnsafeRawBufferPointer(rebasing: bytes[..<end])
    guard EntryHash(bytes: bytes[end...]) == EntryHash(of: fields),
      let root = MerkleHash(bytes: fields[16..<48])
    else { return nil }
    func number(at offset: Int) -> UInt64 {
      UInt64(littleEndian: fields.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
    let nodes = stride(from: 48, to: end, by: 32).compactMap {
      MerkleHash(bytes: fields[$0..<$0 + 32])
    }
    guard let frontier = LogFrontier(count: number(at: 8), nodes: nodes),
      frontier.position <= .last
    else { return nil }
    self.init(
      version: CatalogVersion(number(at: 0)), routesRoot: root, frontier: frontier)
  }
}

extension CheckpointStore {
  /// The commitments that are whole, by version. O(*n*) in their number.
  func commitments() throws(StoreError) -> [CommitmentRow] {
    try environment.read { transaction throws(StoreError) in
      var rows: [CommitmentRow] = []
      try transaction.scan(tables.commitments, from: 0) { (key, bytes) in
        if let row = CommitmentRow(bytes), row.version.rawValue == UInt64(key: key) {
          rows.append(row)
        }
        return true
      }
      return rows
    }
  }

  /// The newest commitment of which the row is whole; nil when there is none.
  func newestCommitment() throws(StoreError) -> CommitmentRow? {
    let last = try environment.read { transaction throws(StoreError) in
      try transaction.last(in: tables.commitments) { (_, bytes) in CommitmentRow(bytes) }
    }
    if let last, let last { return last }
    return try commitments().last
  }

  /// Keeps a commitment: durable on return.
  func put(_ row: CommitmentRow) throws(StoreError) {
    try environment.write { transaction throws(StoreError) in
      try row.bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: row.version.rawValue, in: tables.commitments)
      }
    }
  }
}

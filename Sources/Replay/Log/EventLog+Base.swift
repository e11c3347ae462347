import Catalog
import StateMachines
import Synchronization

extension EventLog {
  /// The state that the log begins after; nil when it begins with the catalog's first entry.
  /// O(*n*) in the number of routes.
  ///
  /// - Throws: ``StoreError/baseDamaged(_:)`` when it is not what was written.
  package func base() throws(StoreError) -> CatalogState? {
    if let version = try baseRootVersion() { return try base(inRoot: version) }
    let stored = try environment.read { transaction throws(StoreError) in
      guard let header = try baseHeader(in: transaction) else { return nil as StoredBase? }
      var routes: [Route] = []
      routes.reserveCapacity(Int(clamping: min(header.routeCount, 1 << 24)))
      var next: UInt64 = 0
      try transaction.scan(tables.base, from: 0) { (key, bytes) throws(StoreError) in
        guard UInt64(key: key) == next else {
          throw .baseDamaged("chunk \(next) of its routes is missing")
        }
        next += 1
        do {
          try RouteChunk.decode(bytes, into: &routes)
        } catch {
          throw .baseDamaged("chunk \(next - 1) of its routes: \(error)")
        }
        return true
      }
      let members = try transaction.value(of: LogTables.MetaKey.baseMembers, in: tables.meta) {
        [UInt8]($0)
      }
      return StoredBase(header: header, routes: routes, members: members ?? [])
    }
    guard let stored else { return nil }
    guard stored.routes.count == stored.header.routeCount else {
      throw .baseDamaged(
        "it has \(stored.routes.count) routes, its header says \(stored.header.routeCount)")
    }
    do {
      return try CatalogState(
        restoring: stored.header.state(of: catalog), routes: stored.routes,
        membership: stored.members)
    } catch {
      throw .baseDamaged("\(error)")
    }
  }

  /// The state that a trimmed log begins after, which a checkpoint has.
  private func base(inRoot version: CatalogVersion) throws(StoreError) -> CatalogState {
    let header = try environment.read { transaction throws(StoreError) in
      try baseHeader(in: transaction)
    }
    guard let header, header.version == version else { throw .baseDamaged("its header") }
    let state: CatalogState
    do throws(StoreError) {
      let checkpoints = try CheckpointStore.open(
        folder: folder, mode: .readOnly, catalog: catalog)
      guard let checkpoints,
        let root = try checkpoints.roots().first(where: { $0.version == version })
      else { throw .noCheckpoint(version) }
      state = try checkpoints.load(root)
    } catch {
      throw .baseDamaged("its checkpoint: \(error.problem)")
    }
    guard state.header == header.state(of: catalog) else {
      throw .baseDamaged("its checkpoint is of another state")
    }
    return state
  }

  /// Replaces all that the log holds with a state to go on from, and the commands that are known up to
  /// there, in one transaction: durable on return. The next entry that is appended is the one after
  /// the state. O(*n*) in the number of routes and commands.
  ///
  /// - Throws: ``StoreError/otherCatalog(expected:found:)`` when the state is another catalog's.
  package func install(
    base state: CatalogState, commands: CommandWindow = CommandWindow()
  ) throws(StoreError) {
    try checkWritable()
    guard state.catalog == catalog else {
      throw .otherCatalog(expected: catalog, found: state.catalog)
    }
    let header = BaseHeader(state)
    let head = Tail(position: header.position, hash: header.hash, version: header.version)
    writerTail.withLock { $0 = nil }
    try environment.write { transaction throws(StoreError) in
      try transaction.removeAll(from: tables.entries)
      try transaction.removeAll(from: tables.versions)
      try transaction.removeAll(from: tables.commands)
      try transaction.removeAll(from: tables.base)
      try transaction.remove(LogTables.MetaKey.baseRoot, from: tables.meta)
      try transaction.remove(LogTables.MetaKey.trim, from: tables.meta)
      try put(commands, in: transaction)
      try putMembers(state.membership, in: transaction)
      try header.bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: LogTables.MetaKey.base, in: tables.meta)
      }
      var index: UInt64 = 0
      try RouteChunk.encode(state.routes) { (chunk) throws(StoreError) in
        try chunk.withRawBytes { (bytes) throws(StoreError) in
          try transaction.append(bytes, for: index, in: tables.base)
        }
        index += 1
      }
      try put(head, in: transaction)
    }
    writerTail.withLock { $0 = head }
  }

  /// The format of a log that begins after a state with members: one that does not know them would
  /// take its base for damaged.
  static let membersFormat: UInt32 = 3

  private func putMembers(
    _ membership: Membership, in transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) {
    guard !membership.isEmpty else {
      return try transaction.remove(LogTables.MetaKey.baseMembers, from: tables.meta)
    }
    try raiseFormat(to: Self.membersFormat, in: transaction)
    try membership.bytes.withRawBytes { (bytes) throws(StoreError) in
      try transaction.put(bytes, for: LogTables.MetaKey.baseMembers, in: tables.meta)
    }
  }

  /// The format of a log that remembers commands from before its beginning: one that does not know
  /// them would carry them out again.
  static let rememberingFormat: UInt32 = 4

  /// Replaces what is remembered of commands from before the log's beginning.
  func put(
    _ commands: CommandWindow, in transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) {
    guard let table = tables.remembered else { return }
    try transaction.removeAll(from: table)
    guard !commands.isEmpty else { return }
    try raiseFormat(to: Self.rememberingFormat, in: transaction)
    try commands.forEach { (record) throws(StoreError) in
      try record.bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.append(bytes, for: record.position.rawValue, in: table)
      }
    }
  }

  /// Lets no reader open the log that knows older formats alone.
  func raiseFormat(
    to format: UInt32, in transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) {
    let found = try transaction.value(of: LogTables.MetaKey.format, in: tables.meta) {
      UInt32(stored: $0)
    }
    guard let found, let found, found < format else { return }
    try format.withStoredBytes { (bytes) throws(StoreError) in
      try transaction.put(bytes, for: LogTables.MetaKey.format, in: tables.meta)
    }
  }

  private struct StoredBase {
    var header: BaseHeader
    var routes: [Route]
    /// The records of the membership.
    var members: [UInt8]
  }

  func baseHeader(
    in transaction: borrowing some LMDB.Transaction & ~Copyable
  ) throws(StoreError) -> BaseHeader? {
    try transaction.value(of: LogTables.MetaKey.base, in: tables.meta) {
      (bytes) throws(StoreError) in
      guard let header = BaseHeader(bytes), header.position <= .last else {
        throw .baseDamaged("its header")
      }
      return header
    }
  }
}

/// What the log says of the state that it begins after, but for the routes.
struct BaseHeader: Hashable {
  var position: LogPosition
  var hash: EntryHash
  var time: HybridTimestamp
  var version: CatalogVersion
  var nextRouteID: RouteID
  var digest: StateDigest
  var routeCount: UInt64
  /// The digest of the membership; zero, and not written, where there is none.
  var membership: StateDigest

  /// The bytes without their SHA-256, and without those of a membership.
  static let fieldByteCount = 8 + 32 + 8 + 8 + 8 + 32 + 8

  /// The bytes without their SHA-256, with a membership or without.
  static func fieldByteCount(hasMembers: Bool) -> Int {
    fieldByteCount + (hasMembers ? StateDigest.byteCount : 0)
  }

  init(_ state: CatalogState) {
    self.init(state.header, routeCount: state.routes.count)
  }

  init(_ header: StateHeader, routeCount: Int) {
    position = header.position
    hash = header.hash
    time = header.time
    version = header.version
    nextRouteID = header.nextRouteID
    digest = header.digest
    membership = header.membership
    self.routeCount = UInt64(routeCount)
  }

  func state(of catalog: CatalogID) -> StateHeader {
    StateHeader(
      catalog: catalog, position: position, hash: hash, time: time, version: version,
      nextRouteID: nextRouteID, digest: digest, membership: membership)
  }

  /// The fields in order, numbers little-endian, then the SHA-256 of those bytes.
  var bytes: [UInt8] {
    let fields = fields
    return fields + fields.withUnsafeBytes(EntryHash.init(of:)).bytes
  }

  /// The fields in order, numbers little-endian.
  var fields: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.fieldByteCount(hasMembers: true) + EntryHash.byteCount)
    func add(_ number: UInt64) {
      withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }
    add(position.rawValue)
    bytes += hash.bytes
    add(time.rawValue)
    add(version.rawValue)
    add(nextRouteID.rawValue)
    bytes += digest.bytes
    add(routeCount)
    if membership != .zero { bytes += membership.bytes }
    return bytes
  }

  /// Reads what ``bytes`` writes; nil when it is anything else.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= EntryHash.byteCount else { return nil }
    let fields = UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - EntryHash.byteCount)])
    guard let checksum = EntryHash(bytes: bytes[fields.count...]),
      checksum == EntryHash(of: fields)
    else { return nil }
    self.init(fields: fields)
  }

  /// Reads what ``fields`` writes; nil when it is anything else.
  init?(fields: UnsafeRawBufferPointer) {
    let hasMembers = fields.count == Self.fieldByteCount(hasMembers: true)
    guard hasMembers || fields.count == Self.fieldByteCount,
      let hash = EntryHash(bytes: fields[8..<40]),
      let digest = StateDigest(bytes: fields[64..<96])
    else { return nil }
    membership = .zero
    if hasMembers {
      guard let digest = StateDigest(bytes: fields[Self.fieldByteCount...]), digest != .zero
      else { return nil }
      membership = digest
    }
    func number(at offset: Int) -> UInt64 {
      UInt64(littleEndian: fields.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
    position = LogPosition(number(at: 0))
    self.hash = hash
    time = HybridTimestamp(number(at: 40))
    version = CatalogVersion(number(at: 48))
    nextRouteID = RouteID(number(at: 56))
    self.digest = digest
    routeCount = number(at: 96)
  }
}

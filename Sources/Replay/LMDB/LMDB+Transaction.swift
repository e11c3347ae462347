import CLMDB
import Catalog

extension LMDB {
  /// What both kinds of transaction can do: read one version of the data.
  ///
  /// Bytes that are handed to closures lie in the map itself. They are valid until the closure
  /// returns.
  protocol Transaction: ~Copyable {
    var handle: OpaquePointer { get }
    var location: Location { get }
    /// Notes the tables that are opened.
    var names: TableNames { get }
  }

  /// A view of one version of the data. Ends when it is dropped.
  struct ReadTransaction: Transaction, ~Copyable {
    let handle: OpaquePointer
    let location: Location
    let names: TableNames
    private let gate: TransactionGate
    private var isSpent = false

    /// Takes over a transaction that was begun inside the gate.
    init(handle: OpaquePointer, location: Location, gate: TransactionGate, names: TableNames) {
      self.handle = handle
      self.location = location
      self.gate = gate
      self.names = names
    }

    deinit {
      if !isSpent { mdb_txn_abort(handle) }
      gate.leave()
    }

    /// Ends the transaction and keeps the table handles that it opened.
    consuming func keepTables() throws(StoreError) {
      isSpent = true
      try check(mdb_txn_commit(handle), "open of tables", location)
    }
  }

  /// The one write transaction of an environment, bound to its thread. Spent by ``commit()``;
  /// dropped unspent, it leaves no trace.
  struct WriteTransaction: Transaction, ~Copyable {
    let handle: OpaquePointer
    let location: Location
    let names: TableNames
    private var isSpent = false

    /// Takes over a transaction that was begun on this thread.
    init(handle: OpaquePointer, location: Location, names: TableNames) {
      self.handle = handle
      self.location = location
      self.names = names
    }

    deinit {
      if !isSpent { mdb_txn_abort(handle) }
    }

    /// Makes the changes durable: on return they survive the loss of power.
    consuming func commit() throws(StoreError) {
      isSpent = true  // LMDB frees the transaction, whatever it answers.
      try check(mdb_txn_commit(handle), "commit", location)
    }
  }
}

extension LMDB.Transaction where Self: ~Copyable {
  /// Lends the value of `key`; nil where there is none. O(log *n*).
  func value<Key, Result>(
    of key: Key, in table: LMDB.Table<Key>,
    _ body: (UnsafeRawBufferPointer) throws(StoreError) -> Result
  ) throws(StoreError) -> Result? {
    let value = try key.withBytes { (bytes) throws(StoreError) -> MDB_val? in
      var key = MDB_val(bytes)
      var value = MDB_val()
      let code = mdb_get(handle, table.handle, &key, &value)
      guard code != MDB_NOTFOUND else { return nil }
      try LMDB.check(code, "read", location)
      return value
    }
    return try value.map { (value) throws(StoreError) -> Result in try body(value.bytes) }
  }

  /// Lends what reads single values of a table, for closures that are kept for a while. Neither it
  /// nor the bytes that it lends may be used after `body` has returned.
  func withReader<Key, Result>(
    of table: LMDB.Table<Key>, _ body: (LMDB.Reader<Key>) throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    try body(LMDB.Reader(handle: handle, table: table, location: location))
  }

  /// How many keys the table has. O(1).
  func count<Key>(of table: LMDB.Table<Key>) throws(StoreError) -> Int {
    var statistics = MDB_stat()
    try LMDB.check(mdb_stat(handle, table.handle, &statistics), "statistics", location)
    return statistics.ms_entries
  }

  /// Lends the first key and value; nil when the table is empty. O(log *n*).
  func first<Key, Result>(
    in table: LMDB.Table<Key>,
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreError) -> Result
  ) throws(StoreError) -> Result? {
    try end(of: table, MDB_FIRST, body)
  }

  /// Lends the last key and value; nil when the table is empty. O(log *n*).
  func last<Key, Result>(
    in table: LMDB.Table<Key>,
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreError) -> Result
  ) throws(StoreError) -> Result? {
    try end(of: table, MDB_LAST, body)
  }

  /// Lends keys and values in order, from the first at or after `start`, until `body` returns
  /// false.
  func scan<Key>(
    _ table: LMDB.Table<Key>, from start: Key,
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreError) -> Bool
  ) throws(StoreError) {
    let cursor = try cursor(over: table)
    defer { mdb_cursor_close(cursor) }
    try start.withBytes { (bytes) throws(StoreError) in
      var key = MDB_val(bytes)
      var value = MDB_val()
      var operation = MDB_SET_RANGE
      while true {
        let code = mdb_cursor_get(cursor, &key, &value, operation)
        guard code != MDB_NOTFOUND else { return }
        try LMDB.check(code, "scan", location)
        guard try body(key.bytes, value.bytes) else { return }
        operation = MDB_NEXT
      }
    }
  }

  private func end<Key, Result>(
    of table: LMDB.Table<Key>, _ operation: MDB_cursor_op,
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreError) -> Result
  ) throws(StoreError) -> Result? {
    let cursor = try cursor(over: table)
    defer { mdb_cursor_close(cursor) }
    var key = MDB_val()
    var value = MDB_val()
    let code = mdb_cursor_get(cursor, &key, &value, operation)
    guard code != MDB_NOTFOUND else { return nil }
    try LMDB.check(code, "seek", location)
    return try body(key.bytes, value.bytes)
  }

  private func cursor<Key>(over table: LMDB.Table<Key>) throws(StoreError) -> OpaquePointer {
    var cursor: OpaquePointer?
    try LMDB.check(mdb_cursor_open(handle, table.handle, &cursor), "open of a cursor", location)
    guard let cursor else {
      throw .system(operation: "open of a cursor", code: 0, message: "no cursor")
    }
    return cursor
  }

  /// Whether the environment has neither tables nor anything else.
  var isEmpty: Bool {
    get throws(StoreError) {
      var main = MDB_dbi()
      try LMDB.check(mdb_dbi_open(handle, nil, 0, &main), "open of a table", location)
      return try count(of: LMDB.Table<String>(handle: main)) == 0
    }
  }

  /// The names of all tables.
  func tableNames() throws(StoreError) -> [String] {
    var main = MDB_dbi()
    try LMDB.check(mdb_dbi_open(handle, nil, 0, &main), "open of a table", location)
    var names: [String] = []
    try scan(LMDB.Table<LMDB.RawKey>(handle: main), from: LMDB.RawKey(bytes: [0])) { (key, _) in
      names.append(String(decoding: key, as: UTF8.self))
      return true
    }
    return names
  }

  /// The table of this name; nil where there is none.
  func existingTable<Key>(
    _ name: String, of _: Key.Type
  ) throws(StoreError) -> LMDB.Table<Key>? {
    var table = MDB_dbi()
    let code = mdb_dbi_open(handle, name, 0, &table)
    guard code != MDB_NOTFOUND else { return nil }
    try LMDB.check(code, "open of a table", location)
    names.note(name, table)
    return LMDB.Table(handle: table)
  }
}

extension LMDB {
  /// Reads single values within a transaction, which outlives it.
  struct Reader<Key: LMDB.Key> {
    fileprivate let handle: OpaquePointer
    fileprivate let table: Table<Key>
    fileprivate let location: Location

    /// The bytes of the value, in the map itself; nil where there is none. O(log *n*).
    func value(of key: Key) throws(StoreError) -> UnsafeRawBufferPointer? {
      try key.withBytes { (bytes) throws(StoreError) in
        var key = MDB_val(bytes)
        var value = MDB_val()
        let code = mdb_get(handle, table.handle, &key, &value)
        guard code != MDB_NOTFOUND else { return nil }
        try LMDB.check(code, "read", location)
        return value.bytes
      }
    }
  }
}

extension LMDB.WriteTransaction {
  /// The table of this name, made where there is none.
  func table<Key>(_ name: String, of _: Key.Type) throws(StoreError) -> LMDB.Table<Key> {
    var table = MDB_dbi()
    let code = mdb_dbi_open(handle, name, UInt32(MDB_CREATE), &table)
    try LMDB.check(code, "open of a table", location)
    names.note(name, table)
    return LMDB.Table(handle: table)
  }

  /// Sets the value of `key`. O(log *n*).
  func put<Key>(
    _ value: UnsafeRawBufferPointer, for key: Key, in table: LMDB.Table<Key>
  ) throws(StoreError) {
    try put(value, for: key, in: table, flags: 0)
  }

  /// Adds a key that sorts after all others of the table. Fills pages to the brim. O(1), amortized.
  func append<Key>(
    _ value: UnsafeRawBufferPointer, for key: Key, in table: LMDB.Table<Key>
  ) throws(StoreError) {
    try put(value, for: key, in: table, flags: UInt32(MDB_APPEND))
  }

  /// Removes `key` with its value. A key that is not there: a no-op. O(log *n*).
  func remove<Key>(_ key: Key, from table: LMDB.Table<Key>) throws(StoreError) {
    try key.withBytes { (bytes) throws(StoreError) in
      var key = MDB_val(bytes)
      let code = mdb_del(handle, table.handle, &key, nil)
      guard code != MDB_NOTFOUND else { return }
      try LMDB.check(code, "removal", location)
    }
  }

  /// Removes all keys.
  func removeAll<Key>(from table: LMDB.Table<Key>) throws(StoreError) {
    try LMDB.check(mdb_drop(handle, table.handle, 0), "removal", location)
  }

  private func put<Key>(
    _ value: UnsafeRawBufferPointer, for key: Key, in table: LMDB.Table<Key>, flags: UInt32
  ) throws(StoreError) {
    try key.withBytes { (bytes) throws(StoreError) in
      var key = MDB_val(bytes)
      var value = MDB_val(value)
      try LMDB.check(mdb_put(handle, table.handle, &key, &value, flags), "write", location)
    }
  }
}

extension MDB_val {
  /// For LMDB to read only.
  fileprivate init(_ bytes: UnsafeRawBufferPointer) {
    self.init(mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
  }

  fileprivate var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: mv_data, count: mv_size)
  }
}

import CLMDB
import Catalog
import Glibc
import Synchronization

extension LMDB {
  /// How an environment is opened.
  enum Mode: Sendable {
    case readOnly
    case readWrite
  }

  /// The sizes of the map, in bytes. They are address space; the disk holds what is written.
  struct MapSize: Sendable {
    /// Of a new environment.
    var initial = 16 << 20
    /// No map grows past this.
    var maximum = 1 << 40
    /// A map doubles until it would grow by more than this.
    var largestStep = 4 << 30
  }

  /// One LMDB environment: a folder with a data file.
  ///
  /// The data file is always as long as the map (sparse: the rest takes no space). So a file that is
  /// shorter than its header claims was cut, which is found on opening; reading on would end the
  /// process with `SIGBUS`.
  final class Environment: @unchecked Sendable {
    // LMDB synchronizes all calls but four: moving the map, which `gate` keeps apart from readers and
    // which only the writer or somebody outside of any transaction does, opening tables, which
    // `tableLock` serializes, closing, which happens when nobody holds a reference any more, and
    // changing the file, which `writeLock` and `gate` keep apart from all transactions. So `handle`
    // is read within one of the two, and written within both.
    private var handle: OpaquePointer?
    private let gate = TransactionGate()
    private let tableLock = Monitor(())
    private let writeLock = Monitor(())
    let names = TableNames()
    private let mapLimit: Mutex<Int>
    private let largestStep: Int
    private let isClosed = Mutex(false)
    let mode: Mode
    let location: Location

    /// The longest wait for a lock of LMDB is for another process that opens the same folder.
    ///
    /// - Precondition: This process does not have the folder open; see ``EnvironmentRegistry``.
    init(folder: String, mode: Mode, sizes: MapSize = MapSize()) throws(StoreError) {
      self.mode = mode
      mapLimit = Mutex(sizes.maximum)
      largestStep = sizes.largestStep
      location = Location(folder: folder)
      handle = nil
      try open(initialMapSize: sizes.initial)
    }

    // Also runs when `open` throws: the object is whole by then.
    deinit { close() }

    /// Again: a no-op.
    ///
    /// - Precondition: No transaction is open, and none is begun afterwards.
    func close() {
      isClosed.withLock { isClosed in
        if !isClosed { closeHandle() }
        isClosed = true
      }
    }

    private func closeHandle() {
      guard let handle else { return }
      mdb_env_close(handle)
      self.handle = nil
    }

    /// The open environment.
    ///
    /// - Throws: ``StoreError/unusable(reason:)`` when its file was changed and could not be opened.
    private func live() throws(StoreError) -> OpaquePointer {
      guard let handle else {
        throw .unusable(reason: "the data file in \(location.folder) could not be opened again")
      }
      return handle
    }

    private func open(initialMapSize: Int) throws(StoreError) {
      var created: OpaquePointer?
      try check(mdb_env_create(&created), "creation", location)
      guard let handle = created else {
        throw .system(operation: "creation", code: 0, message: "no environment")
      }
      self.handle = handle
      do throws(StoreError) {
        try open(handle, initialMapSize: initialMapSize)
      } catch {
        closeHandle()
        throw error
      }
    }

    private func open(_ handle: OpaquePointer, initialMapSize: Int) throws(StoreError) {
      try check(mdb_env_set_maxdbs(handle, 16), "limit of tables", location)
      try check(mdb_env_set_maxreaders(handle, 1024), "limit of readers", location)
      let data = location.folder + "/data.mdb"
      let isNew = access(data, F_OK) != 0
      if isNew {
        // LMDB would leave a lock file behind.
        guard mode == .readWrite else { throw .noLog(folder: location.folder) }
        try check(mdb_env_set_mapsize(handle, initialMapSize), "size of the map", location)
      }
      let flags = MDB_NOTLS | (mode == .readOnly ? MDB_RDONLY : 0)
      try check(
        mdb_env_open(handle, location.folder, UInt32(flags), 0o644), "open", location)
      var information = MDB_envinfo()
      var statistics = MDB_stat()
      try check(mdb_env_info(handle, &information), "statistics", location)
      try check(mdb_env_stat(handle, &statistics), "statistics", location)
      let needed = (information.me_last_pgno + 1) * Int(statistics.ms_psize)
      let byteCount = try fileSize()
      if !isNew, byteCount < needed {
        throw .truncated(folder: location.folder, byteCount: byteCount, needed: needed)
      }
      if mode == .readWrite {
        try extendFile(to: information.me_mapsize)
        // Slots of readers that were killed would keep pages from being used again.
        var dead: Int32 = 0
        try check(mdb_reader_check(handle, &dead), "check of readers", location)
      }
    }

    /// The size of the map in bytes.
    ///
    /// - Precondition: This thread has no transaction open.
    var mapSize: Int { information.me_mapsize }

    /// Whether a commit returns only when all of it is on the disk.
    var syncsCommits: Bool {
      var flags: UInt32 = 0
      guard let handle, mdb_env_get_flags(handle, &flags) == MDB_SUCCESS else { return false }
      return flags & UInt32(MDB_NOSYNC | MDB_NOMETASYNC | MDB_MAPASYNC) == 0
    }

    /// Which file the environment has open, whatever its folder holds by now.
    var dataFile: FileID? {
      var descriptor = mdb_filehandle_t()
      var status = stat()
      guard let handle, mdb_env_get_fd(handle, &descriptor) == MDB_SUCCESS,
        fstat(descriptor, &status) == 0
      else { return nil }
      return FileID(status)
    }

    /// Inside the gate: LMDB reads it from the map.
    private var information: MDB_envinfo {
      var information = MDB_envinfo()
      gate.enter()
      defer { gate.leave() }
      guard let handle else { return information }
      return mdb_env_info(handle, &information) == MDB_SUCCESS ? information : MDB_envinfo()
    }

    /// Lets the map grow up to another size than before.
    func setMapLimit(_ limit: Int) { mapLimit.withLock { $0 = limit } }

    /// The number of the last write transaction that was committed.
    ///
    /// - Precondition: This thread has no transaction open.
    var lastTransaction: Int { information.me_last_txnid }

    /// Lends a view of the newest data. Short: pages that it sees cannot be used again, and a map
    /// that has to grow waits for it.
    ///
    /// - Precondition: This thread has no transaction open.
    func read<Result>(
      _ body: (borrowing ReadTransaction) throws(StoreError) -> Result
    ) throws(StoreError) -> Result {
      let transaction = try beginReading()
      return try body(transaction)
    }

    /// Lends a transaction, then commits it: durable on return. When the map is full it grows and
    /// `body` runs again.
    ///
    /// - Precondition: This thread has no transaction open.
    func write<Result>(
      _ body: (borrowing WriteTransaction) throws(StoreError) -> Result
    ) throws(StoreError) -> Result {
      guard mode == .readWrite else { throw .readOnly(folder: location.folder) }
      return try writeLock.withLock { _ throws(StoreError) in try writeLocked(body) }
    }

    /// - Precondition: The caller holds `writeLock`.
    private func writeLocked<Result>(
      _ body: (borrowing WriteTransaction) throws(StoreError) -> Result
    ) throws(StoreError) -> Result {
      while true {
        do {
          let transaction = try beginWriting()
          let result = try body(transaction)
          try transaction.commit()
          return result
        } catch .logFull {
          try grow()
        }
      }
    }

    /// Makes all named tables' handles usable: LMDB wants them opened in a transaction of their own.
    func openTables<Tables>(
      _ body: (borrowing ReadTransaction) throws(StoreError) -> Tables
    ) throws(StoreError) -> Tables {
      if mode == .readOnly { try followFile() }
      return try tableLock.withLock { _ throws(StoreError) in
        // Whose file is changed from here on: the tables are opened again when that is noticed.
        let transaction = try beginReading(followingFile: false)
        let tables = try body(transaction)
        try transaction.keepTables()
        return tables
      }
    }

    /// Like ``write(_:)``, for a transaction that makes tables.
    func makeTables<Tables>(
      _ body: (borrowing WriteTransaction) throws(StoreError) -> Tables
    ) throws(StoreError) -> Tables {
      try tableLock.withLock { _ throws(StoreError) in try write(body) }
    }

    /// `followingFile` takes `tableLock` where the folder has another file by now.
    private func beginReading(followingFile: Bool = true) throws(StoreError) -> ReadTransaction {
      while true {
        if followingFile, mode == .readOnly { try followFile() }
        gate.enter()
        guard let handle else {
          gate.leave()
          _ = try live()
          continue
        }
        var transaction: OpaquePointer?
        let code = mdb_txn_begin(handle, nil, UInt32(MDB_RDONLY), &transaction)
        if code == MDB_SUCCESS, let transaction {
          return ReadTransaction(
            handle: transaction, location: location, gate: gate, names: names)
        }
        gate.leave()
        guard code == MDB_MAP_RESIZED else {
          try check(code, "begin of a read", location)
          throw .system(operation: "begin of a read", code: code, message: "no transaction")
        }
        try adoptMapSize()
      }
    }

    private func beginWriting() throws(StoreError) -> WriteTransaction {
      while true {
        var transaction: OpaquePointer?
        let code = mdb_txn_begin(try live(), nil, 0, &transaction)
        if code == MDB_SUCCESS, let transaction {
          return WriteTransaction(handle: transaction, location: location, names: names)
        }
        guard code == MDB_MAP_RESIZED else {
          try check(code, "begin of a write", location)
          throw .system(operation: "begin of a write", code: code, message: "no transaction")
        }
        try adoptMapSize()
      }
    }

    /// Another process made the map grow.
    private func adoptMapSize() throws(StoreError) {
      try gate.close { () throws(StoreError) in
        try check(mdb_env_set_mapsize(try live(), 0), "growth of the map", location)
      }
    }

    private func grow() throws(StoreError) {
      let size = mapSize
      let limit = mapLimit.withLock { $0 }
      let next = min(size + min(size, largestStep), limit)
      guard next > size else { throw .logFull(limit: limit) }
      try extendFile(to: next)
      try gate.close { () throws(StoreError) in
        try check(mdb_env_set_mapsize(try live(), next), "growth of the map", location)
      }
    }

    private func fileSize() throws(StoreError) -> Int {
      var descriptor = mdb_filehandle_t()
      try check(mdb_env_get_fd(try live(), &descriptor), "size of the file", location)
      var status = stat()
      guard fstat(descriptor, &status) == 0 else {
        throw .system(operation: "size of the file", code: errno, message: errorText(errno))
      }
      return status.st_size
    }

    private func extendFile(to size: Int) throws(StoreError) {
      guard try fileSize() < size else { return }
      var descriptor = mdb_filehandle_t()
      try check(mdb_env_get_fd(try live(), &descriptor), "size of the file", location)
      guard ftruncate(descriptor, size) == 0 else {
        try check(errno, "growth of the file", location)
        return
      }
    }

    /// All named tables that the file has, also those that nobody opened yet.
    func allTables() throws(StoreError) -> [(name: String, table: Table<RawKey>)] {
      try openTables { transaction throws(StoreError) in
        for name in try transaction.tableNames() {
          _ = try transaction.existingTable(name, of: RawKey.self)
        }
      }
      return names.all
    }

    // MARK: Changing the file

    /// Runs `body` while nobody writes.
    func whileUnwritten<Result>(
      _ body: (borrowing Unwritten) throws(StoreError) -> Result
    ) throws(StoreError) -> Result {
      try tableLock.withLock { _ throws(StoreError) in
        try writeLock.withLock { _ throws(StoreError) in try body(Unwritten(environment: self)) }
      }
    }

    /// The right to write and to change the file of an environment that nobody else writes.
    struct Unwritten: ~Copyable {
      fileprivate let environment: Environment

      /// See ``Environment/write(_:)``.
      func write(
        _ body: (borrowing WriteTransaction) throws(StoreError) -> Void
      ) throws(StoreError) {
        try environment.writeLocked(body)
      }

      /// Puts the file at `path` in the place of the environment's own, and goes on with it. Readers
      /// that are in finish first; those that come wait until it is done, which takes no longer than
      /// to close and to open. Crash-safe: there is the one file or the other.
      ///
      /// - Precondition: The file has the same tables with the same rows, and its last transaction
      ///   has the same number; see ``Compaction``.
      /// - Throws: ``StoreError/unusable(reason:)`` when the file could not be opened; after other
      ///   errors everything is as it was.
      func replaceFile(with path: String) throws(StoreError) {
        let environment = environment
        try environment.reopen { () throws(StoreError) in
          guard rename(path, environment.location.folder + "/data.mdb") == 0 else {
            throw .system(operation: "rename of \(path)", code: errno, message: errorText(errno))
          }
          try Folder.sync(environment.location.folder)
        }
      }
    }

    /// Writes the file as it is now to a folder that has none yet, durably. Page by page: also what is
    /// damaged.
    func copy(to folder: String) throws(StoreError) {
      try check(mdb_env_copy(try live(), folder), "copy", location)
    }

    /// Goes on with the file that is in the folder by now: whoever writes it may have changed it.
    private func followFile() throws(StoreError) {
      guard isElsewhere() else { return }
      try tableLock.withLock { _ throws(StoreError) in
        guard isElsewhere() else { return }
        try reopen { () throws(StoreError) in }
      }
    }

    private func isElsewhere() -> Bool {
      var status = stat()
      gate.enter()
      defer { gate.leave() }
      guard stat(location.folder + "/data.mdb", &status) == 0 else { return false }
      return handle == nil || dataFile != FileID(status)
    }

    /// Closes the environment, runs `change`, and opens it again, with the same tables. When `change`
    /// throws it is opened all the same.
    private func reopen(after change: () throws(StoreError) -> Void) throws(StoreError) {
      try gate.close { () throws(StoreError) in
        // Nobody may find the folder's new file and open it a second time.
        try EnvironmentRegistry.moving(self) { () throws(StoreError) in
          closeHandle()
          var failure: StoreError?
          do throws(StoreError) { try change() } catch { failure = error }
          do throws(StoreError) {
            try open(initialMapSize: 0)
            try names.openAgain(live(), location)
          } catch {
            closeHandle()
            throw .unusable(reason: error.problem)
          }
          if let failure { throw failure }
        }
      }
    }
  }
}

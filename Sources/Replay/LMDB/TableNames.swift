import CLMDB
import Synchronization

extension LMDB {
  /// The tables that an environment has opened, so that it can open them again under the same
  /// handles when its file is changed: whoever has a handle goes on to use it.
  final class TableNames: Sendable {
    private let names = Mutex<[MDB_dbi: String]>([:])

    func note(_ name: String, _ handle: MDB_dbi) { names.withLock { $0[handle] = name } }

    /// The names with their handles, in the order in which they were opened.
    var all: [(name: String, table: Table<RawKey>)] {
      names.withLock { names in
        names.sorted { $0.key < $1.key }.map { ($0.value, Table(handle: $0.key)) }
      }
    }

    /// Opens the tables in another file. LMDB gives out the lowest handle that is free, so that the
    /// same order makes the same handles.
    func openAgain(_ environment: OpaquePointer, _ location: Location) throws(StoreError) {
      var transaction: OpaquePointer?
      try check(
        mdb_txn_begin(environment, nil, UInt32(MDB_RDONLY), &transaction), "begin of a read",
        location)
      for (name, table) in all {
        var handle = MDB_dbi()
        let code = mdb_dbi_open(transaction, name, 0, &handle)
        guard code == MDB_SUCCESS, handle == table.handle else {
          mdb_txn_abort(transaction)
          throw .notALog(folder: location.folder)
        }
      }
      try check(mdb_txn_commit(transaction), "open of tables", location)
    }
  }

  /// A key as its bytes, for work on tables of any kind.
  struct RawKey: Key {
    var bytes: [UInt8]

    func withBytes<Result>(
      _ body: (UnsafeRawBufferPointer) throws(StoreError) -> Result
    ) throws(StoreError) -> Result {
      try bytes.withRawBytes(body)
    }
  }
}

import CLMDB
import Glibc

/// Our door to LMDB, and the only place in this module with raw pointers: an ``Environment`` lends
/// transactions to synchronous closures, and what a transaction lends is valid within it only.
enum LMDB {
  /// Throws what an LMDB or system error code means.
  static func check(
    _ code: Int32, _ operation: StaticString, _ environment: borrowing Location
  ) throws(StoreError) {
    guard code != MDB_SUCCESS else { return }
    throw meaning(of: code, operation, environment)
  }

  /// What messages say about an environment.
  struct Location {
    var folder: String
  }

  private static func meaning(
    of code: Int32, _ operation: StaticString, _ environment: borrowing Location
  ) -> StoreError {
    let folder = environment.folder
    return switch code {
    case ENOSPC, EDQUOT, EFBIG: .diskFull(folder: folder)
    // What LMDB makes of a write that was cut short, as happens when the disk fills up.
    case EIO where isFull(folder): .diskFull(folder: folder)
    case EACCES, EPERM, EROFS: .permissionDenied(path: folder)
    case ENOENT, ENOTDIR: .noLog(folder: folder)
    case MDB_MAP_FULL: .logFull(limit: 0)  // Whoever makes the map grow knows the limit.
    case MDB_READERS_FULL: .tooManyReaders(folder: folder)
    case MDB_INVALID, MDB_VERSION_MISMATCH: .notALog(folder: folder)
    default:
      .system(
        operation: "\(operation) in \(folder)", code: code,
        message: String(cString: mdb_strerror(code)))
    }
  }

  private static func isFull(_ folder: String) -> Bool {
    var status = statvfs()
    guard statvfs(folder, &status) == 0 else { return false }
    return UInt64(status.f_bavail) * UInt64(status.f_frsize) < 1 << 20
  }

  /// A key as LMDB orders it: by its bytes.
  protocol Key {
    func withBytes<Result>(
      _ body: (UnsafeRawBufferPointer) throws(StoreError) -> Result
    ) throws(StoreError) -> Result
  }

  /// A named table with keys of one kind.
  struct Table<Key: LMDB.Key>: Sendable {
    fileprivate(set) var handle: MDB_dbi

    /// Only for ``WriteTransaction/table(_:)`` and its like.
    init(handle: MDB_dbi) { self.handle = handle }
  }
}

extension UInt64: LMDB.Key {
  /// Big-endian, so that bytes sort as numbers do.
  func withBytes<Result>(
    _ body: (UnsafeRawBufferPointer) throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    let bytes = bigEndian
    return try withUnsafeBytes(of: bytes) { (raw) throws(StoreError) -> Result in try body(raw) }
  }

  /// Reads what ``withBytes(_:)`` writes; nil unless there are eight bytes.
  init?(key: UnsafeRawBufferPointer) {
    guard key.count == 8 else { return nil }
    self.init(bigEndian: key.loadUnaligned(as: UInt64.self))
  }
}

extension String: LMDB.Key {
  func withBytes<Result>(
    _ body: (UnsafeRawBufferPointer) throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    try Array(utf8).withRawBytes(body)
  }
}

extension [UInt8] {
  /// Like `withUnsafeBytes`, which does not keep the type of the error.
  func withRawBytes<Result>(
    _ body: (UnsafeRawBufferPointer) throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    try withUnsafeBufferPointer { (buffer) throws(StoreError) -> Result in
      try body(UnsafeRawBufferPointer(buffer))
    }
  }
}

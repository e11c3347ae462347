import CLMDB
import Catalog
import Glibc

/// What we know of the bytes of LMDB's file (version 0.9): pages 0 and 1 each say what the data is
/// after a transaction, and the one with the greater number counts.
enum DataFile {
  private static let magic: UInt32 = 0xBEEF_C0DE
  private static let version: UInt32 = 1
  /// Behind the page's own header of 16 bytes.
  private static let magicOffset = 16
  private static let pageSizeOffset = 16 + 24
  private static let numberOffset = 16 + 128

  /// Gives the last transaction of a file that nobody has open another number, durably.
  ///
  /// - Precondition: Both are odd or both even, which says on which page the transaction is, and the
  ///   new one is not less.
  /// - Throws: ``StoreError/notALog(folder:)`` when the file is not what we know.
  static func renumber(_ path: String, from old: Int, to new: Int) throws(StoreError) {
    precondition(new >= old && (new ^ old) & 1 == 0, "the number says on which page it stands")
    let descriptor = open(path, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw .system(operation: "open of \(path)", code: errno, message: errorText(errno))
    }
    defer { close(descriptor) }
    func number<Number: FixedWidthInteger>(at offset: Int, _: Number.Type) -> Number? {
      var value = Number.zero
      let size = MemoryLayout<Number>.size
      guard pread(descriptor, &value, size, off_t(offset)) == size else { return nil }
      return Number(littleEndian: value)
    }
    guard let pageSize = number(at: pageSizeOffset, UInt32.self), pageSize >= 512 else {
      throw .notALog(folder: path)
    }
    let page = (old & 1) * Int(pageSize)
    guard number(at: page + magicOffset, UInt32.self) == magic,
      number(at: page + magicOffset + 4, UInt32.self) == version,
      number(at: page + numberOffset, UInt64.self) == UInt64(old)
    else { throw .notALog(folder: path) }
    var value = UInt64(new).littleEndian
    guard pwrite(descriptor, &value, 8, off_t(page + numberOffset)) == 8, fsync(descriptor) == 0
    else {
      throw .system(operation: "write of \(path)", code: errno, message: errorText(errno))
    }
  }
}

/// What a file takes on the disk.
enum FileSize {
  /// The bytes of its blocks; 0 where there is no such file.
  static func allocated(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_blocks) * 512 : 0
  }
}

import CLMDB
import Catalog
import Glibc

/// How many bytes a file takes on the disk, before and after its free pages were given back.
package struct FileShrinkage: Hashable, Sendable {
  package var before: Int
  package var after: Int
}

/// Gives the free pages of an environment back to the disk: copies its rows to a new file, which then
/// takes the place of the old one, while readers read and the writer writes.
///
/// Rows are copied in slices, each read in a short transaction of its own: a single long one, as
/// LMDB's own copy needs, would keep every page that is freed meanwhile. Tables that only grow at
/// their end are copied ahead; the rest, and what was added, when ``finish()`` has stopped the writer.
///
/// The new file's last transaction gets the number that the old file's had. LMDB keeps that number in
/// `lock.mdb` too, which stays, with the readers of other processes in it: who opens the one file or
/// the other finds them in agreement, at whatever moment a crash comes.
final class Compaction {
  /// Where the new file is made, within the environment's folder.
  static let folderName = "compaction"
  private static let sliceByteCount = 16 << 20

  private let source: LMDB.Environment
  private let target: LMDB.Environment
  private var tables: [Copied] = []
  private let before: Int

  private struct Copied {
    var name: String
    var source: LMDB.Table<LMDB.RawKey>
    var target: LMDB.Table<LMDB.RawKey>
    /// Whether rows are only added at the end and removed at the front.
    var grows: Bool
    var last: [UInt8]?
  }

  /// Begins a new file. `growing` are the tables that only grow at their end, and lose rows at their
  /// front.
  ///
  /// - Precondition: One at a time, by who holds the right to write the environment.
  init(of source: LMDB.Environment, growing: Set<String>) throws(StoreError) {
    let folder = source.location.folder + "/" + Self.folderName
    try Self.removeLeftovers(in: source.location.folder)
    try Folder.make(folder)
    self.source = source
    before = FileSize.allocated(source.location.folder + "/data.mdb")
    let target = try LMDB.Environment(folder: folder, mode: .readWrite)
    self.target = target
    let names = try source.allTables()
    tables = try target.makeTables { transaction throws(StoreError) in
      var tables: [Copied] = []
      for (name, table) in names {
        tables.append(
          Copied(
            name: name, source: table,
            target: try transaction.table(name, of: LMDB.RawKey.self),
            grows: growing.contains(name)))
      }
      return tables
    }
  }

  /// Removes what a compaction left that was broken off.
  static func removeLeftovers(in folder: String) throws(StoreError) {
    let place = folder + "/" + folderName
    guard access(place, F_OK) == 0 else { return }
    for name in ["data.mdb", "lock.mdb"] { unlink(place + "/" + name) }
    rmdir(place)
  }

  /// Copies what the growing tables have by now; when it returns there is little that is new.
  func copyAhead() throws(StoreError) {
    // The writer adds while this copies: three rounds leave what came during the third.
    for _ in 0..<3 {
      for index in tables.indices where tables[index].grows { try copy(index) }
    }
  }

  /// Stops the writer, copies the rest, and puts the new file in the place of the old one.
  ///
  /// - Throws: ``StoreError/unusable(reason:)`` when the new file could not be opened; after any other
  ///   error the old one is in its place.
  func finish() throws(StoreError) -> FileShrinkage {
    let path = target.location.folder + "/data.mdb"
    try source.whileUnwritten { unwritten throws(StoreError) in
      for index in tables.indices {
        if tables[index].grows {
          try dropFront(index)
        } else {
          try empty(index)
        }
        try copy(index)
      }
      try check()
      let copied = target.lastTransaction
      var last = source.lastTransaction
      while last < copied || (last ^ copied) & 1 == 1 {
        try touch(unwritten)
        last = source.lastTransaction
      }
      target.close()
      try DataFile.renumber(path, from: copied, to: last)
      try unwritten.replaceFile(with: path)
    }
    try? Self.removeLeftovers(in: source.location.folder)
    return FileShrinkage(
      before: before, after: FileSize.allocated(source.location.folder + "/data.mdb"))
  }

  /// Copies the rows of a table after the last that was copied.
  private func copy(_ index: Int) throws(StoreError) {
    while true {
      let table = tables[index]
      var rows: [(key: [UInt8], value: [UInt8])] = []
      var byteCount = 0
      let start = LMDB.RawKey(bytes: table.last.map { $0 + [0] } ?? [0])
      try source.read { transaction throws(StoreError) in
        try transaction.scan(table.source, from: start) { (key, value) in
          rows.append(([UInt8](key), [UInt8](value)))
          byteCount += key.count + value.count
          return byteCount < Self.sliceByteCount
        }
      }
      guard let last = rows.last?.key else { return }
      try target.write { transaction throws(StoreError) in
        for row in rows {
          try row.value.withRawBytes { (bytes) throws(StoreError) in
            try transaction.append(bytes, for: LMDB.RawKey(bytes: row.key), in: table.target)
          }
        }
      }
      tables[index].last = last
    }
  }

  /// Removes the rows that the source lost at its front since they were copied.
  private func dropFront(_ index: Int) throws(StoreError) {
    let table = tables[index]
    guard table.last != nil else { return }
    let first = try source.read { transaction throws(StoreError) in
      try transaction.first(in: table.source) { (key, _) in [UInt8](key) }
    }
    guard let first else { return try empty(index) }
    try target.write { transaction throws(StoreError) in
      while let key = try transaction.first(in: table.target, { (key, _) in [UInt8](key) }),
        key.lexicographicallyPrecedes(first)
      {
        try transaction.remove(LMDB.RawKey(bytes: key), from: table.target)
      }
    }
  }

  private func empty(_ index: Int) throws(StoreError) {
    let table = tables[index].target
    try target.write { transaction throws(StoreError) in try transaction.removeAll(from: table) }
    tables[index].last = nil
  }

  /// That the new file has as many rows as the old one.
  private func check() throws(StoreError) {
    let (tables, target) = (tables, target)
    try source.read { old throws(StoreError) in
      try target.read { new throws(StoreError) in
        for table in tables
        where try old.count(of: table.source) != new.count(of: table.target) {
          throw .system(
            operation: "copy of the table \(table.name)", code: 0, message: "rows are missing")
        }
      }
    }
  }

  /// Makes a transaction that changes nothing.
  private func touch(_ unwritten: borrowing LMDB.Environment.Unwritten) throws(StoreError) {
    guard let table = tables.first?.source else { return }
    try unwritten.write { transaction throws(StoreError) in
      let row = try transaction.first(in: table) { (key, value) in
        ([UInt8](key), [UInt8](value))
      }
      guard let row else { return }
      try row.1.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: LMDB.RawKey(bytes: row.0), in: table)
      }
    }
  }
}

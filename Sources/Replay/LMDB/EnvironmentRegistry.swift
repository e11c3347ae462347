import Glibc
import Synchronization

/// The environments that this process has open. LMDB must not open a folder twice in one process:
/// closing the one would drop the file locks of the other.
enum EnvironmentRegistry {
  fileprivate struct Opened {
    var environment: LMDB.Environment
    var leaseCount: Int
    /// While a file is open no other gets its number, even when the folder was deleted and made
    /// anew. The data file may change while it is open, the lock's file does not; where there is
    /// none, as on a disk that is read-only, nobody changes the data file.
    var dataFile: FileID
    var lockFile: FileID?
  }

  private static let opened = Mutex<[ObjectIdentifier: Opened]>([:])

  /// Keeps an environment open. When the last lease on it ends it is closed; nobody may use it
  /// afterwards.
  final class Lease: Sendable {
    let environment: LMDB.Environment

    fileprivate init(_ environment: LMDB.Environment) { self.environment = environment }

    deinit {
      EnvironmentRegistry.opened.withLock { opened in
        let id = ObjectIdentifier(environment)
        guard var entry = opened[id] else { return }
        entry.leaseCount -= 1
        opened[id] = entry.leaseCount > 0 ? entry : nil
        // Under the lock, so that nobody opens the folder before it is closed.
        if entry.leaseCount == 0 { entry.environment.close() }
      }
    }
  }

  /// Opens the environment of `folder`, or shares the one that is open. One that is open for
  /// writing serves readers too.
  ///
  /// - Throws: ``StoreError/openForReading(folder:)`` when it is to be written and is open for
  ///   reading, and what ``LMDB/Environment`` throws.
  static func lease(
    folder: String, mode: LMDB.Mode, sizes: LMDB.MapSize
  ) throws(StoreError) -> Lease {
    var status = stat()
    guard stat(folder, &status) == 0 else {
      throw errno == EACCES ? .permissionDenied(path: folder) : .noLog(folder: folder)
    }
    let result = opened.withLock { opened -> Result<Lease, StoreError> in
      do throws(StoreError) {
        // Under the lock, since this may be where the file is made.
        var entry: Opened
        if let known = opened.values.first(where: { $0.isIn(folder) }) {
          if mode == .readWrite, known.environment.mode == .readOnly {
            throw .openForReading(folder: folder)
          }
          if mode == .readWrite { known.environment.setMapLimit(sizes.maximum) }
          entry = known
        } else {
          let environment = try LMDB.Environment(folder: folder, mode: mode, sizes: sizes)
          guard let file = environment.dataFile else {
            throw .system(operation: "open", code: errno, message: errorText(errno))
          }
          entry = Opened(
            environment: environment, leaseCount: 0, dataFile: file,
            lockFile: FileID(path: folder + "/lock.mdb"))
        }
        entry.leaseCount += 1
        opened[ObjectIdentifier(entry.environment)] = entry
        return .success(Lease(entry.environment))
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  /// Runs `body`, which closes an environment and opens it with another file; nobody can open the
  /// folder meanwhile. One that is not registered is nobody else's.
  static func moving(
    _ environment: LMDB.Environment, _ body: () throws(StoreError) -> Void
  ) throws(StoreError) {
    let result = opened.withLock { opened -> Result<Void, StoreError> in
      let id = ObjectIdentifier(environment)
      defer {
        if let file = environment.dataFile { opened[id]?.dataFile = file }
      }
      do throws(StoreError) {
        return .success(try body())
      } catch {
        return .failure(error)
      }
    }
    try result.get()
  }
}

extension EnvironmentRegistry.Opened {
  /// Whether it is what `folder` holds.
  fileprivate func isIn(_ folder: String) -> Bool {
    guard let data = FileID(path: folder + "/data.mdb") else { return false }
    if data == dataFile { return true }
    return lockFile != nil && FileID(path: folder + "/lock.mdb") == lockFile
  }
}

/// A file or folder, by whatever path it was found.
struct FileID: Hashable {
  private var device: UInt64
  private var node: UInt64

  init(_ status: stat) {
    device = UInt64(status.st_dev)
    node = UInt64(status.st_ino)
  }

  /// Nil when there is none.
  init?(path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    self.init(status)
  }
}

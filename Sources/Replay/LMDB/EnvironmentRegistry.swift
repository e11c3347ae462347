import Glibc
import Synchronization

/// The environments that this process has open. LMDB must not open a folder twice in one process:
/// closing the one would drop the file locks of the other.
enum EnvironmentRegistry {
  private struct Opened {
    var environment: LMDB.Environment
    var leaseCount: Int
  }

  // By the data file: while it is open no other file gets its number, even when its folder was
  // deleted and made anew.
  private static let opened = Mutex<[FileID: Opened]>([:])

  /// Keeps an environment open. When the last lease on it ends it is closed; nobody may use it
  /// afterwards.
  final class Lease: Sendable {
    let environment: LMDB.Environment
    private let id: FileID

    fileprivate init(_ environment: LMDB.Environment, _ id: FileID) {
      self.environment = environment
      self.id = id
    }

    deinit {
      EnvironmentRegistry.opened.withLock { opened in
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
        var entry: Opened
        let id: FileID
        // Under the lock, since this may be where the file is made.
        var data = stat()
        if stat(folder + "/data.mdb", &data) == 0, let known = opened[FileID(data)] {
          if mode == .readWrite, known.environment.mode == .readOnly {
            throw .openForReading(folder: folder)
          }
          if mode == .readWrite { known.environment.setMapLimit(sizes.maximum) }
          (entry, id) = (known, FileID(data))
        } else {
          let environment = try LMDB.Environment(folder: folder, mode: mode, sizes: sizes)
          guard let file = environment.dataFile else {
            throw .system(operation: "open", code: errno, message: errorText(errno))
          }
          (entry, id) = (Opened(environment: environment, leaseCount: 0), file)
        }
        entry.leaseCount += 1
        opened[id] = entry
        return .success(Lease(entry.environment, id))
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
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
}

import Glibc

/// Folders as the log needs them.
enum Folder {
  /// Makes a folder with all that lead to it, and makes its name durable, also where it is there
  /// already: who made it may not have come so far.
  static func make(_ path: String) throws(StoreError) {
    var failure = try makeOne(path)
    if failure == ENOENT {
      let parent = parent(of: path)
      guard parent != path else { throw .noLog(folder: path) }
      try make(parent)
      // Once more only: some places, as /proc, never take a folder, whatever leads to it.
      failure = try makeOne(path)
    }
    switch failure {
    case 0: break
    case EEXIST:
      var status = stat()
      guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
        throw .notALog(folder: path)
      }
      let parent = parent(of: path)
      // Who may not look into the parent did not make the folder either.
      if access(parent, R_OK) == 0 { try sync(parent) }
    case EACCES, EPERM, EROFS: throw .permissionDenied(path: path)
    case ENOSPC, EDQUOT: throw .diskFull(folder: path)
    default:
      throw .system(operation: "creation of \(path)", code: failure, message: errorText(failure))
    }
  }

  /// Makes one folder, durably; returns the system's error, 0 for none.
  private static func makeOne(_ path: String) throws(StoreError) -> Int32 {
    guard mkdir(path, 0o755) == 0 else { return errno }
    try sync(parent(of: path))
    return 0
  }

  /// Makes the names in a folder durable.
  static func sync(_ path: String) throws(StoreError) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw .system(operation: "open of \(path)", code: errno, message: errorText(errno))
    }
    defer { close(descriptor) }
    // Some file systems have nothing to sync here and say so.
    guard fsync(descriptor) == 0 || errno == EINVAL else {
      throw .system(operation: "sync of \(path)", code: errno, message: errorText(errno))
    }
  }

  /// Writes a file, durably and whole: under another name first, then in the place of what is there.
  static func write(_ bytes: [UInt8], to path: String, mode: mode_t = 0o644) throws(StoreError) {
    let draft = path + ".new"
    let descriptor = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw failure("creation", draft) }
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      guard count > 0 || errno == EINTR else {
        let error = failure("write", draft)
        close(descriptor)
        unlink(draft)
        throw error
      }
      rest = rest.dropFirst(max(0, count))
    }
    let isSynced = fsync(descriptor) == 0
    guard close(descriptor) == 0, isSynced, rename(draft, path) == 0 else {
      let error = failure("write", draft)
      unlink(draft)
      throw error
    }
    try sync(parent(of: path))
  }

  private static func failure(_ operation: String, _ path: String) -> StoreError {
    switch errno {
    case ENOSPC, EDQUOT, EFBIG: .diskFull(folder: parent(of: path))
    case EACCES, EPERM, EROFS: .permissionDenied(path: path)
    default:
      .system(operation: "\(operation) of \(path)", code: errno, message: errorText(errno))
    }
  }

  static func parent(of path: String) -> String {
    var path = Substring(path)
    while path.count > 1, path.last == "/" { path.removeLast() }
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}

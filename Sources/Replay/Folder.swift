import Glibc

/// Folders as the log needs them.
enum Folder {
  /// Makes a folder with all that lead to it, and makes its name durable, also where it is there
  /// already: who made it may not have come so far.
  static func make(_ path: String) throws(StoreError) {
    if mkdir(path, 0o755) == 0 {
      try sync(parent(of: path))
      return
    }
    switch errno {
    case EEXIST:
      var status = stat()
      guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
        throw .notALog(folder: path)
      }
      let parent = parent(of: path)
      // Who may not look into the parent did not make the folder either.
      if access(parent, R_OK) == 0 { try sync(parent) }
    case ENOENT:
      let parent = parent(of: path)
      guard parent != path else { throw .noLog(folder: path) }
      try make(parent)
      try make(path)
    case EACCES, EPERM, EROFS: throw .permissionDenied(path: path)
    case ENOSPC, EDQUOT: throw .diskFull(folder: path)
    default:
      throw .system(operation: "creation of \(path)", code: errno, message: errorText(errno))
    }
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

  private static func parent(of path: String) -> String {
    var path = Substring(path)
    while path.count > 1, path.last == "/" { path.removeLast() }
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}

import Glibc

/// The right to write a folder: an advisory lock on `writer.lock`, with the holder's process id in
/// it. Ends when it is dropped, and when the process dies.
///
/// `flock` locks belong to the open file, not to the process, so that a second holder within this
/// process is refused as well.
final class FolderLock: Sendable {
  private let descriptor: Int32

  /// - Throws: ``StoreError/inUse(folder:pid:)`` when somebody else holds it.
  init(folder: String) throws(StoreError) {
    let path = folder + "/writer.lock"
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw switch errno {
      case EACCES, EPERM, EROFS: .permissionDenied(path: path)
      case ENOSPC, EDQUOT: .diskFull(folder: folder)
      case ENOENT, ENOTDIR: .noLog(folder: folder)
      default: .system(operation: "open of \(path)", code: errno, message: errorText(errno))
      }
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      let pid = FolderLock.holder(descriptor)
      close(descriptor)
      throw code == EWOULDBLOCK
        ? .inUse(folder: folder, pid: pid)
        : .system(operation: "lock of \(path)", code: code, message: errorText(code))
    }
    self.descriptor = descriptor
    // Only for people and messages: a full disk does not keep the folder from being opened.
    let text = Array("\(getpid())\n".utf8)
    if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, text, text.count, 0) }
  }

  deinit {
    _ = ftruncate(descriptor, 0)
    // Closing alone would not do while a child that is being started has a copy.
    flock(descriptor, LOCK_UN)
    close(descriptor)
  }

  /// Locks a folder that holds a log: leaves no file behind where there is none.
  convenience init(existing folder: String) throws(StoreError) {
    guard access(folder + "/data.mdb", F_OK) == 0 else {
      throw errno == EACCES ? .permissionDenied(path: folder) : .noLog(folder: folder)
    }
    try self.init(folder: folder)
  }

  private static func holder(_ descriptor: Int32) -> Int32? {
    var buffer: [UInt8] = Array(repeating: 0, count: 16)
    let count = pread(descriptor, &buffer, buffer.count, 0)
    guard count > 0 else { return nil }
    let digits = buffer.prefix(count).prefix { (0x30...0x39).contains($0) }
    return Int32(String(decoding: digits, as: UTF8.self))
  }
}

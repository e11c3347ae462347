import Foundation
import TestSupport
import Testing

/// A disk of its own under a folder, small enough to be filled: a file system in memory.
final class SmallDisk: Sendable {
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  private let folder: URL
  private var ballast: String { folder.appending(path: "ballast").path }

  /// Mounts an empty disk.
  ///
  /// - Throws: ``Failure`` where that is not permitted.
  init(at folder: URL, megabytes: Int = 16) async throws {
    self.folder = folder
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let mounted = try await ChildProcess(
      URL(filePath: "/bin/mount"),
      ["-t", "tmpfs", "-o", "size=\(megabytes)m", "cadastre-test", folder.path]
    ).wait(limit: .seconds(60))
    guard mounted.status == 0 else {
      throw Failure(
        description: """
          no disk of \(megabytes) MB could be mounted, which this test has to fill: run the tests as \
          root, or in a namespace of your own: unshare --map-root-user --mount make test. \
          \(mounted.errors)
          """)
    }
  }

  deinit {
    // Also from under a process that a failed test has left.
    _ = try? ChildProcess(URL(filePath: "/bin/umount"), ["--lazy", folder.path]).wait()
  }

  /// Takes all the room that is left.
  func fill() throws {
    let descriptor = open(ballast, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Failure(description: "open: errno \(errno)") }
    defer { close(descriptor) }
    let page = [UInt8](repeating: 0, count: 4096)
    while write(descriptor, page, page.count) > 0 {}
    guard errno == ENOSPC else { throw Failure(description: "write: errno \(errno)") }
  }

  /// Gives back what ``fill()`` took.
  func makeRoom() { unlink(ballast) }
}

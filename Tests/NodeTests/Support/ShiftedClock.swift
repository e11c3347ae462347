import Foundation
import TestSupport

/// A wall clock of a process that is put forward and back while that runs. Its other clocks are as
/// they are.
final class ShiftedClock: Sendable {
  struct Missing: Error, CustomStringConvertible {
    let description = "there is no libfaketime in /usr/lib: `make setup` installs it"
  }

  /// What makes a process go by this clock.
  let environment: [String: String]
  private let file: String
  /// Has the memory that libfaketime shares: where a process has to make that by itself, it gets an
  /// environment at another place, and Swift finds its arguments next to the environment.
  private let holder: ChildProcess

  /// A clock that is right.
  ///
  /// - Throws: ``Missing`` where libfaketime is not installed.
  init(in folder: URL, _ name: String) throws {
    let root = URL(filePath: "/usr/lib")
    let library = try FileManager.default.contentsOfDirectory(atPath: root.path)
      .map { root.appending(path: $0).appending(path: "faketime/libfaketimeMT.so.1").path }
      .first { FileManager.default.fileExists(atPath: $0) }
    guard let library else { throw Missing() }
    file = folder.appending(path: name).path
    let variables = [
      "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": file, "FAKETIME_NO_CACHE": "1",
      "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
    ]
    try Self.write(0, to: file)
    holder = try ChildProcess(
      URL(filePath: "/bin/sh"), ["-c", "echo \"$FAKETIME_SHARED\"; while :; do sleep 1; done"],
      environment: variables)
    let shared = holder.lines(atLeast: 1).first
    environment = variables.merging(["FAKETIME_SHARED": shared ?? ""]) { $1 }
  }

  deinit {
    // A shell that ends so does not remove them.
    for name in (environment["FAKETIME_SHARED"] ?? "").split(separator: " ").map(String.init) {
      if sem_unlink(name) != 0 { shm_unlink(name) }
    }
  }

  /// Puts the clock so many seconds ahead of what is right; it goes on at the same rate.
  func shift(by seconds: Int) throws { try Self.write(seconds, to: file) }

  private static func write(_ seconds: Int, to file: String) throws {
    try Data("\(seconds < 0 ? "" : "+")\(seconds)\n".utf8)
      .write(to: URL(filePath: file), options: .atomic)
  }
}

import Foundation
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// A program that a test runs, with its output in files.
///
/// No pipe connects the two: tests run side by side, and a pipe whose end another test's child had
/// inherited would not end before that child did. Two tests that wait like that, on the two threads
/// that a small machine has for them, would wait forever.
package final class ChildProcess: Sendable {
  /// How a process ended and what it wrote.
  package struct Ended: Sendable {
    /// The exit status; of a process that a signal ended, the signal's number below zero.
    package var status: Int32
    package var output: String
    package var errors: String
  }

  package struct SpawnError: Error {
    package var program: String
    package var code: Int32
  }

  package let identifier: Int32
  private let folder: URL
  /// How it ended, once somebody has asked the operating system.
  private let status = Mutex<Int32?>(nil)

  /// Starts `program` with an environment, this process's own where it is nil.
  package init(
    _ program: URL, _ arguments: [String], input: Data? = nil,
    environment: [String: String]? = nil
  ) throws {
    let folder = FileManager.default.temporaryDirectory
      .appending(path: "cadastre-process-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    self.folder = folder
    var standardInput = "/dev/null"
    if let input {
      let file = folder.appending(path: "in")
      try input.write(to: file)
      standardInput = file.path
    }
    let environment = (environment ?? ProcessInfo.processInfo.environment).map { "\($0)=\($1)" }
    identifier = try Self.spawn(
      program.path, [program.path] + arguments, environment,
      files: [
        (standardInput, O_RDONLY),
        (folder.appending(path: "out").path, O_WRONLY | O_CREAT | O_APPEND),
        (folder.appending(path: "err").path, O_WRONLY | O_CREAT | O_APPEND),
      ])
  }

  private static func spawn(
    _ program: String, _ arguments: [String], _ environment: [String],
    files: [(path: String, flags: Int32)]
  ) throws -> Int32 {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (descriptor, file) in files.enumerated() {
      posix_spawn_file_actions_addopen(
        &actions, Int32(descriptor), file.path, file.flags, 0o644)
    }
    // Sockets that tests listen on: a child would keep their ports taken.
    if let closeFrom = Self.closeFrom { _ = closeFrom(&actions, Int32(files.count)) }
    let argumentPointers = arguments.map { strdup($0) } + [nil]
    let environmentPointers = environment.map { strdup($0) } + [nil]
    defer { for pointer in argumentPointers + environmentPointers { free(pointer) } }
    var identifier: Int32 = 0
    let code = posix_spawn(
      &identifier, program, &actions, nil, argumentPointers, environmentPointers)
    guard code == 0 else { throw SpawnError(program: program, code: code) }
    return identifier
  }

  /// `posix_spawn_file_actions_addclosefrom_np` of glibc, which its module for Swift does not show.
  private static let closeFrom: (@convention(c) (UnsafeMutableRawPointer, Int32) -> Int32)? =
    dlsym(nil, "posix_spawn_file_actions_addclosefrom_np").map {
      unsafeBitCast($0, to: (@convention(c) (UnsafeMutableRawPointer, Int32) -> Int32).self)
    }

  deinit {
    signal(SIGKILL)
    _ = wait()
    try? FileManager.default.removeItem(at: folder)
  }

  package var outputSoFar: String { text("out") }
  package var errorsSoFar: String { text("err") }

  private func text(_ name: String) -> String {
    (try? String(contentsOf: folder.appending(path: name), encoding: .utf8)) ?? ""
  }

  package var isRunning: Bool { poll(WNOHANG) == nil }

  /// Sends a signal; to a process that has ended none.
  package func signal(_ number: Int32) {
    // Not once it was waited for: its number may be another's.
    status.withLock { if $0 == nil { kill(identifier, number) } }
  }

  /// Blocks until the process has ended.
  package func wait() -> Ended {
    while true {
      if let ended = ended() { return ended }
      usleep(1000)
    }
  }

  /// How the process ended; nil as long as it runs.
  package func ended() -> Ended? {
    poll(WNOHANG).map { Ended(status: $0, output: outputSoFar, errors: errorsSoFar) }
  }

  /// Waits until the process has ended; kills one that takes longer than `limit`.
  package func wait(limit: Duration) async throws -> Ended {
    let clock = ContinuousClock()
    let end = clock.now + limit
    while true {
      if let ended = ended() { return ended }
      if clock.now > end { signal(SIGKILL) }
      // Its end is of more weight than that of the test's task.
      if Task.isCancelled { signal(SIGKILL) }
      try? await Task.sleep(for: .milliseconds(5))
      if Task.isCancelled { usleep(1000) }
    }
  }

  /// Blocks until the process has written so many lines, or has ended; the lines.
  package func lines(atLeast count: Int) -> [String] {
    while true {
      let isRunning = isRunning
      let text = outputSoFar
      if !isRunning || text.utf8.count(where: { $0 == UInt8(ascii: "\n") }) >= count {
        return text.split(separator: "\n").map(String.init)
      }
      usleep(200)
    }
  }

  private func poll(_ options: Int32) -> Int32? {
    status.withLock { status in
      if let status { return status }
      var word: Int32 = 0
      guard waitpid(identifier, &word, options) == identifier else { return nil }
      let signal = word & 0x7F
      status = signal == 0 ? word >> 8 & 0xFF : -signal
      return status
    }
  }
}

import ArgumentParser
import Dispatch
import Foundation

/// What Ctrl-C does: the first time it asks the running command to end, the second time it ends it.
enum Interruption {
  /// Runs `command` in a task that SIGINT and SIGTERM cancel.
  ///
  /// - Throws: What `command` throws, ``CancellationError`` too.
  static func run(_ command: sending any AsyncParsableCommand) async throws {
    let task = Task {
      var command = command
      try await command.run()
    }
    let queue = DispatchQueue(label: "cadastre.signals")
    let sources = [SIGINT, SIGTERM].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
      source.setEventHandler {
        if task.isCancelled { exit(ExitStatus.interrupted.rawValue) }
        task.cancel()
      }
      source.resume()
      return source
    }
    defer {
      for source in sources { source.cancel() }
    }
    try await task.value
  }
}

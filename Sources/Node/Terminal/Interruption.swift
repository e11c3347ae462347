import ArgumentParser
import Foundation
import UnixSignals

/// What Ctrl-C does: the first time it asks the running command to end, the second time it ends it.
enum Interruption {
  /// How long a command may take to end once it was asked: it may wait for input that never comes.
  /// Nothing is lost by ending it then, since what it writes is there whole or not at all.
  private static let patience: Duration = .seconds(3)
  /// Signals that follow closer than this are one: programs that start others pass theirs on, and
  /// the terminal sends its own besides.
  private static let pause: Duration = .milliseconds(500)

  /// Runs `command` in a task that SIGINT and SIGTERM cancel.
  ///
  /// - Throws: What `command` throws; `CancellationError` when it fails after it was cancelled.
  static func run(_ command: sending any AsyncParsableCommand) async throws {
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
    let work = Task {
      var command = command
      try await command.run()
    }
    let watch = Task {
      var asked: Moment?
      for await _ in signals {
        let now = NodeClock.system.now()
        if let asked, now - asked > pause { exit(ExitStatus.interrupted.rawValue) }
        guard asked == nil else { continue }
        asked = now
        work.cancel()
        Task {
          try await Task.sleep(for: patience)
          exit(ExitStatus.interrupted.rawValue)
        }
      }
    }
    defer { watch.cancel() }
    do {
      try await work.value
    } catch let problem as Problem where problem.status == .interrupted {
      throw problem
    } catch {
      // What a command says when it is made to end is seldom to the point.
      throw work.isCancelled ? CancellationError() : error
    }
  }
}

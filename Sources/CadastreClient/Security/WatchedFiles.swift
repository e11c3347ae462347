import Foundation
import GRPCCore
import Synchronization

/// A value that is read from files, and read again once one of them has changed.
///
/// A change that cannot be read leaves the value as it was: who rotates a certificate and its key
/// replaces one file after the other, and in between they do not belong together.
package final class WatchedFiles<Value: Sendable>: Sendable {
  /// What a look at the files found.
  package enum Look: Sendable {
    case unchanged
    /// There is a new value.
    case loaded
    /// A file changed, and the value stays as it was. Told once for each change.
    case failed(NodeError)
  }

  private struct State {
    var value: Value
    var stamps: [FileStamp?]
  }

  package let paths: [String]
  private let load: @Sendable () throws(NodeError) -> Value
  private let state: Mutex<State>
  /// Held while files are read, so that what was read first does not replace what was read last.
  private let reading = Mutex(())

  /// Reads the files for the first time.
  ///
  /// - Throws: What `load` throws.
  package init(
    _ paths: [String], load: @escaping @Sendable () throws(NodeError) -> Value
  ) throws(NodeError) {
    self.paths = paths
    self.load = load
    // Looked at before they are read: a change in between is found by the next look.
    let stamps = paths.map(FileStamp.init)
    state = Mutex(State(value: try load(), stamps: stamps))
  }

  /// What the files said when they were read last.
  package var current: Value { state.withLock { $0.value } }

  /// Reads the files again if one of them has changed, or in any case where `always` says so. Blocks
  /// for as long as that takes.
  package func look(always: Bool = false) -> Look {
    guard always || isChanged(paths.map(FileStamp.init)) else { return .unchanged }
    return reading.withLock { _ in read(always: always) }
  }

  private func isChanged(_ stamps: [FileStamp?]) -> Bool {
    state.withLock { $0.stamps != stamps }
  }

  private func read(always: Bool) -> Look {
    // Looked at again: another thread may have read them meanwhile.
    let stamps = paths.map(FileStamp.init)
    let isChanged = isChanged(stamps)
    guard always || isChanged else { return .unchanged }
    state.withLock { $0.stamps = stamps }
    do throws(NodeError) {
      let value = try load()
      // In a statement of its own: the old value is released outside of the lock.
      let old = state.withLock { state in
        defer { state.value = value }
        return state.value
      }
      _ = consume old
      return .loaded
    } catch {
      return .failed(error)
    }
  }
}

/// The content of a file of at most a mebibyte.
///
/// - Throws: ``NodeError`` with the reason `file_unreadable`, which names `what`.
package func contents(of path: String, _ what: String) throws(NodeError) -> Data {
  let maximumByteCount = 1 << 20
  do {
    let file = try FileHandle(forReadingFrom: URL(filePath: path))
    let data = try file.read(upToCount: maximumByteCount + 1) ?? Data()
    guard data.count <= maximumByteCount else {
      throw NodeError(
        .invalidArgument, reason: "file_too_long",
        "\(what) \(path) has more than \(maximumByteCount) bytes", remedy: "name another file")
    }
    return data
  } catch let error as NodeError {
    throw error
  } catch {
    let reason = (error as? CocoaError)?.underlying as? POSIXError
    throw NodeError(
      .invalidArgument, reason: "file_unreadable",
      "\(what) \(path) cannot be read: "
        + (reason.map { String(cString: strerror($0.code.rawValue)) } ?? "\(error)"),
      remedy: "name a file that is there and that this user may read")
  }
}

import Foundation
import Synchronization

/// Standard output or standard error, buffered, written as a whole.
package final class StandardStream: Sendable {
  package static let output = StandardStream(descriptor: STDOUT_FILENO)
  package static let error = StandardStream(descriptor: STDERR_FILENO)

  /// How many bytes are held back before they are written.
  private static let capacity = 1 << 16

  package let style: TerminalStyle
  package let isTerminal: Bool
  private let descriptor: Int32
  private let buffer = Mutex<[UInt8]>([])

  private init(descriptor: Int32) {
    self.descriptor = descriptor
    self.isTerminal = isatty(descriptor) == 1
    self.style = .of(descriptor: descriptor)
  }

  /// Adds `text`; writes when much has gathered.
  package func write(_ text: String) {
    buffer.withLock { buffer in
      buffer.append(contentsOf: text.utf8)
      if buffer.count >= Self.capacity { drain(&buffer) }
    }
  }

  /// Adds a line and writes it at once: for streams that somebody watches.
  package func writeLine(_ line: String) {
    write(line + "\n")
    flush()
  }

  /// Writes what has gathered.
  package func flush() { buffer.withLock { drain(&$0) } }

  private func drain(_ buffer: inout [UInt8]) {
    buffer.withUnsafeBytes { bytes in
      var offset = 0
      while offset < bytes.count {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
        let count = Foundation.write(descriptor, rest.baseAddress, rest.count)
        if count >= 0 {
          offset += count
        } else if errno != EINTR {
          // Whoever read this has gone, as `head` does: nobody is left to tell.
          exit(ExitStatus.failed.rawValue)
        }
      }
    }
    buffer.removeAll(keepingCapacity: true)
  }
}

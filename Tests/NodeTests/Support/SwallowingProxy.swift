import Foundation
import Synchronization

@testable import Node

/// A TCP proxy of a test's own on the loopback, which can swallow: from then on whatever comes over
/// the connections that are open disappears, and so does the news that either side closed its end.
/// Connections that are opened later pass.
final class SwallowingProxy: Sendable {
  let address: NodeAddress
  private let listener: Int32
  private let lines = Mutex<[Line]>([])

  /// One connection from a caller, with the one on to the target.
  private final class Line: Sendable {
    let near: Int32
    let far: Int32
    let swallows = Atomic(false)
    private let pumpCount = Atomic(2)

    init(near: Int32, far: Int32) {
      self.near = near
      self.far = far
    }

    func start() {
      for (source, sink) in [(near, far), (far, near)] {
        Thread.detachNewThread { self.pump(from: source, to: sink) }
      }
    }

    /// Ends both directions, for good.
    func end() {
      shutdown(near, Int32(SHUT_RDWR))
      shutdown(far, Int32(SHUT_RDWR))
    }

    private func pump(from source: Int32, to sink: Int32) {
      var buffer = [UInt8](repeating: 0, count: 64 << 10)
      while true {
        let count = read(source, &buffer, buffer.count)
        guard count > 0 else { break }
        if swallows.load(ordering: .relaxed) { continue }
        guard Self.write(buffer[..<count], to: sink) else { break }
      }
      if !swallows.load(ordering: .relaxed) { shutdown(sink, Int32(SHUT_WR)) }
      // Not before both are done: the numbers would be given to other files.
      guard pumpCount.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 else { return }
      close(near)
      close(far)
    }

    private static func write(_ bytes: ArraySlice<UInt8>, to sink: Int32) -> Bool {
      var rest = bytes
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes {
          send(sink, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        guard count > 0 else { return false }
        rest = rest.dropFirst(count)
      }
      return true
    }
  }

  init(to target: NodeAddress) throws {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    self.listener = listener
    guard bind(listener, to: 0), listen(listener, 64) == 0 else { throw POSIXError(.EADDRINUSE) }
    var name = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    _ = withUnsafeMutablePointer(to: &name) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listener, $0, &size) }
    }
    address = NodeAddress(host: "127.0.0.1", port: Int(UInt16(bigEndian: name.sin_port)))
    Thread.detachNewThread { [self] in
      while true {
        let near = accept(listener, nil, nil)
        guard near >= 0 else { return }
        let far = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard connect(far, to: UInt16(target.port)) else {
          close(near)
          close(far)
          continue
        }
        let line = Line(near: near, far: far)
        lines.withLock { $0.append(line) }
        line.start()
      }
    }
  }

  /// How many connections were made.
  var lineCount: Int { lines.withLock { $0.count } }

  /// Lets the connections that are open go silent.
  func swallow() {
    for line in lines.withLock({ $0 }) { line.swallows.store(true, ordering: .relaxed) }
  }

  /// Ends all connections and takes no more.
  func stop() {
    shutdown(listener, Int32(SHUT_RDWR))
    for line in lines.withLock({ $0 }) { line.end() }
  }
}

/// Binds a socket to a port of the loopback.
private func bind(_ descriptor: Int32, to port: UInt16) -> Bool {
  withLoopback(port) { bind(descriptor, $0, $1) == 0 }
}

/// Connects a socket to a port of the loopback.
private func connect(_ descriptor: Int32, to port: UInt16) -> Bool {
  withLoopback(port) { connect(descriptor, $0, $1) == 0 }
}

private func withLoopback(
  _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Bool
) -> Bool {
  var name = sockaddr_in()
  name.sin_family = sa_family_t(AF_INET)
  name.sin_port = port.bigEndian
  name.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
  return withUnsafePointer(to: &name) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
    }
  }
}

import CadastreClient
import Foundation
import Synchronization
import TestSupport

@testable import Node
@testable import Replay

/// What a network does to the bytes that go through it, each way.
struct NetworkConditions: Sendable {
  /// How long every byte is under way.
  var delay: Duration = .zero
  /// Up to so much more, drawn for each piece.
  var jitter: Duration = .zero
  var bytesPerSecond: Int?
  /// Of so many pieces one is lost: it, and what comes after it, arrives ``retransmission`` later, as
  /// TCP has it. 0: none.
  var losesOneIn = 0
  var retransmission: Duration = .milliseconds(200)

  /// Between continents: 200 ms of round trip.
  static let wideArea = NetworkConditions(delay: .milliseconds(100))
}

/// A TCP proxy of a test's own on the loopback, which delays, jitters, limits, stalls and cuts; what it
/// draws comes from a seed.
final class NetworkProxy: Sendable {
  private struct State {
    var conditions: NetworkConditions
    var isStalled = false
    var isCut = false
    var lines: [Line] = []
    var byteCount: UInt64 = 0
  }

  let address: NodeAddress
  private let listener: Int32
  private let state: Monitor<State>

  init(
    to target: NodeAddress, _ conditions: NetworkConditions = NetworkConditions(), seed: UInt64 = 1
  ) throws {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    self.listener = listener
    guard bind(listener, to: 0), listen(listener, 64) == 0 else { throw POSIXError(.EADDRINUSE) }
    address = NodeAddress(host: "127.0.0.1", port: boundPort(of: listener))
    state = Monitor(State(conditions: conditions))
    Thread.detachNewThread { [self] in
      var seed = seed
      while true {
        let near = accept(listener, nil, nil)
        guard near >= 0 else { return }
        // A child of a test would keep it open.
        _ = fcntl(near, F_SETFD, FD_CLOEXEC)
        let far = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard !state.withLock({ $0.isCut }), connect(far, to: UInt16(target.port)) else {
          close(near)
          close(far)
          continue
        }
        seed &+= 2
        let line = Line(near: near, far: far)
        state.withLock { $0.lines.append(line) }
        start(line, seed: seed)
      }
    }
  }

  /// How many connections were made.
  var lineCount: Int { state.withLock { $0.lines.count } }

  /// How many bytes came from the target.
  var byteCount: UInt64 { state.withLock { $0.byteCount } }

  /// Lets the connections that are open go silent: whatever comes over them disappears, and so does
  /// the news that either side closed its end. Connections that are opened later pass.
  func swallow() {
    for line in state.withLock({ $0.lines }) { line.swallows.store(true, ordering: .relaxed) }
  }

  /// Holds everything up until ``resume()``.
  func stall() { state.change { $0.isStalled = true } }

  func resume() { state.change { $0.isStalled = false } }

  /// Ends all connections and takes no more until ``mend()``.
  func cut() {
    state.change { $0.isCut = true }
    for line in state.withLock({ $0.lines }) { line.end() }
  }

  func mend() { state.change { $0.isCut = false } }

  /// Ends all connections and takes no more, for good.
  func stop() {
    shutdown(listener, Int32(SHUT_RDWR))
    cut()
    resume()
  }
}

// MARK: The way of the bytes

/// One connection from a caller, with the one on to the target.
private final class Line: Sendable {
  let near: Int32
  let far: Int32
  let swallows = Atomic(false)
  /// How many threads use the two files; closed when none does.
  private let threadCount = Mutex(4)

  init(near: Int32, far: Int32) {
    self.near = near
    self.far = far
  }

  /// Ends both directions, for good. A line that has ended is left alone: its files' numbers are
  /// somebody else's by now.
  func end() {
    threadCount.withLock { count in
      guard count > 0 else { return }
      shutdown(near, Int32(SHUT_RDWR))
      shutdown(far, Int32(SHUT_RDWR))
    }
  }

  /// Notes that one of the threads is done. The files are not closed before all are: their numbers
  /// would be given to others.
  func threadEnded() {
    threadCount.withLock { count in
      count -= 1
      guard count == 0 else { return }
      close(near)
      close(far)
    }
  }
}

/// What is under way in one direction.
private final class Queue: Sendable {
  struct Piece: Sendable {
    var bytes: [UInt8]
    var due: ContinuousClock.Instant
  }

  private struct State {
    var pieces: [Piece] = []
    var byteCount = 0
    var isEnded = false
  }

  /// What a router holds before it pushes back.
  private static let capacity = 4 << 20
  private let state = Monitor(State())

  func put(_ piece: Piece) {
    state.wait { $0.byteCount < Self.capacity || $0.isEnded ? () : nil }
    state.change {
      $0.pieces.append(piece)
      $0.byteCount += piece.bytes.count
    }
  }

  /// The next piece; nil after the last.
  func take() -> Piece? {
    state.wait { !$0.pieces.isEmpty || $0.isEnded ? () : nil }
    return state.change { state in
      guard !state.pieces.isEmpty else { return nil }
      let piece = state.pieces.removeFirst()
      state.byteCount -= piece.bytes.count
      return piece
    }
  }

  func end() { state.change { $0.isEnded = true } }
}

extension NetworkProxy {
  private func start(_ line: Line, seed: UInt64) {
    pump(line, from: line.near, to: line.far, seed: seed) { _ in }
    pump(line, from: line.far, to: line.near, seed: seed &+ 1) { [state] count in
      state.withLock { $0.byteCount += UInt64(count) }
    }
  }

  private func pump(
    _ line: Line, from source: Int32, to sink: Int32, seed: UInt64,
    _ took: @escaping @Sendable (Int) -> Void
  ) {
    let queue = Queue()
    Thread.detachNewThread { [self] in
      var generator = SeededGenerator(seed: seed)
      var last = ContinuousClock.now
      var buffer = [UInt8](repeating: 0, count: 16 << 10)
      while true {
        let count = read(source, &buffer, buffer.count)
        guard count > 0 else { break }
        if line.swallows.load(ordering: .relaxed) { continue }
        took(count)
        let conditions = state.withLock { $0.conditions }
        var due = ContinuousClock.now + conditions.delay
        due += conditions.jitter * Double.random(in: 0...1, using: &generator)
        if conditions.losesOneIn > 0, generator.oneIn(conditions.losesOneIn) {
          due += conditions.retransmission
        }
        // Nothing overtakes what was sent before it.
        last = max(due, last)
        if let rate = conditions.bytesPerSecond { last += .seconds(1) * count / rate }
        queue.put(Queue.Piece(bytes: Array(buffer[..<count]), due: last))
      }
      queue.end()
      line.threadEnded()
    }
    Thread.detachNewThread { [self] in
      while let piece = queue.take() {
        let wait = piece.due - .now
        if wait > .zero { Thread.sleep(forTimeInterval: wait / .seconds(1)) }
        state.wait { $0.isStalled ? nil : () }
        guard !line.swallows.load(ordering: .relaxed) else { continue }
        guard write(piece.bytes, to: sink) else {
          // Whoever sends more hears that nobody takes it.
          shutdown(source, Int32(SHUT_RD))
          break
        }
      }
      queue.end()
      if !line.swallows.load(ordering: .relaxed) { shutdown(sink, Int32(SHUT_WR)) }
      line.threadEnded()
    }
  }

  private func write(_ bytes: [UInt8], to sink: Int32) -> Bool {
    var rest = bytes[...]
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

// MARK: Sockets

private func boundPort(of descriptor: Int32) -> Int {
  var name = sockaddr_in()
  var size = socklen_t(MemoryLayout<sockaddr_in>.size)
  _ = withUnsafeMutablePointer(to: &name) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
  }
  return Int(UInt16(bigEndian: name.sin_port))
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

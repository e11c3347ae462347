@testable import Catalog

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A thread that does what it is handed, in order. It looks for work over and over, behind a lock that
/// the thread sanitizer knows.
final class TestWorker: SerialWorker {
  private final class Pieces: @unchecked Sendable {
    // Both are touched by who holds the lock alone.
    let lock = TestLock()
    private var waiting: [@Sendable () -> Void] = []
    private var isClosed = false

    func add(_ piece: @escaping @Sendable () -> Void) {
      lock.lock()
      waiting.append(piece)
      lock.unlock()
    }

    func close() {
      lock.lock()
      isClosed = true
      lock.unlock()
    }

    /// Nil at the end.
    func next() -> (@Sendable () -> Void)? {
      while true {
        lock.lock()
        let piece = waiting.isEmpty ? nil : waiting.removeFirst()
        let isClosed = isClosed
        lock.unlock()
        if piece != nil || isClosed { return piece }
        sched_yield()
      }
    }
  }

  private let pieces: Pieces
  private let thread: TestThread

  init() {
    let pieces = Pieces()
    self.pieces = pieces
    thread = TestThread {
      while let piece = pieces.next() { piece() }
    }
  }

  func run(_ piece: @escaping @Sendable () -> Void) { pieces.add(piece) }

  func finish() {
    final class Flag: @unchecked Sendable {
      // Touched by who holds the lock alone.
      let lock = TestLock()
      private var isSet = false
      func exchange(_ value: Bool) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        defer { isSet = isSet || value }
        return isSet
      }
    }
    let isDone = Flag()
    run { _ = isDone.exchange(true) }
    while !isDone.exchange(false) { sched_yield() }
  }

  deinit {
    pieces.close()
    thread.join()
  }
}

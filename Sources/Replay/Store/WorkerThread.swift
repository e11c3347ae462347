import Glibc

/// A thread of the operating system that runs one closure. For work that blocks, or that LMDB binds
/// to a thread: neither may happen on the threads that run tasks.
final class WorkerThread: @unchecked Sendable {
  // Written once, by `init`; `joined` is protected by its lock.
  private let thread: pthread_t
  private let joined = Monitor(false)

  private final class Start {
    let name: String
    let body: @Sendable () -> Void

    init(_ name: String, _ body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }

    func run() {
      // Glibc's call for this is not visible to Swift. A thread without a name does as well.
      let names = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
      if names >= 0 {
        _ = write(names, name, name.utf8.count)
        close(names)
      }
      body()
    }
  }

  /// Starts the thread. Debuggers show its name, of at most 15 bytes.
  ///
  /// - Throws: ``StoreError/system(operation:code:message:)`` when the process has too many threads.
  init(name: String, _ body: @escaping @Sendable () -> Void) throws(StoreError) {
    assert(name.utf8.count <= 15)
    let start = Unmanaged.passRetained(Start(name, body))
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { argument in
        if let argument {
          Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().run()
        }
        return nil
      }, start.toOpaque())
    guard code == 0 else {
      start.release()
      throw .system(operation: "start of a thread", code: code, message: errorText(code))
    }
    self.thread = thread
  }

  /// Waits until the thread has ended. Not to be called by the thread itself. Again: a no-op.
  func join() {
    joined.withLock { joined in
      guard !joined else { return }
      pthread_join(thread, nil)
      joined = true
    }
  }

  /// Whether the caller runs on this thread.
  var isCurrent: Bool { pthread_equal(pthread_self(), thread) != 0 }

  deinit {
    // Not joined: the thread frees itself when it ends.
    if !joined.withLock({ $0 }) { pthread_detach(thread) }
  }
}

/// The operating system's words for an error number.
func errorText(_ code: Int32) -> String { String(cString: strerror(code)) }

import Glibc

/// A value behind a lock on which threads can wait for a change.
///
/// `Synchronization.Mutex` has no condition variable, and this module's threads have to sleep.
final class Monitor<Value>: @unchecked Sendable {
  // `value` is touched only by who holds `mutex`.
  private var value: Value
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let changed: UnsafeMutablePointer<pthread_cond_t>

  init(_ value: Value) {
    self.value = value
    mutex = .allocate(capacity: 1)
    changed = .allocate(capacity: 1)
    precondition(pthread_mutex_init(mutex, nil) == 0, "a mutex of default kind can be made")
    precondition(pthread_cond_init(changed, nil) == 0, "a condition of default kind can be made")
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// Lends the value. Nobody is woken.
  func withLock<Result, Failure: Error>(
    _ body: (inout Value) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body(&value)
  }

  /// Lends the value, then wakes all who wait.
  func change<Result>(_ body: (inout Value) -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer {
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(mutex)
    }
    return body(&value)
  }

  /// Wakes all who wait, after a change that was made with ``withLock(_:)``.
  func wake() { pthread_cond_broadcast(changed) }

  /// Sleeps until `body` returns something; it is asked now and after each ``change(_:)``.
  func wait<Result>(until body: (inout Value) -> Result?) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      if let result = body(&value) { return result }
      pthread_cond_wait(changed, mutex)
    }
  }
}

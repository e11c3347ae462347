import Catalog

/// A thread that does what it is handed, in order.
final class WorkLine: SerialWorker {
  private let pieces: BoundedChannel<@Sendable () -> Void>
  private let thread: WorkerThread

  /// - Throws: ``StoreError/system(operation:code:message:)`` when the process has too many threads.
  init(name: String, capacity: Int = 64) throws(StoreError) {
    let pieces = BoundedChannel<@Sendable () -> Void>(capacity: capacity)
    self.pieces = pieces
    thread = try WorkerThread(name: name) {
      while true {
        let taken = pieces.receive()
        guard !taken.isEmpty else { return }
        for piece in taken { piece() }
      }
    }
  }

  func run(_ piece: @escaping @Sendable () -> Void) { _ = pieces.send(piece) }

  func finish() {
    let isDone = Monitor(false)
    run { isDone.change { $0 = true } }
    _ = isDone.wait { $0 ? true : nil }
  }

  deinit {
    pieces.close()
    thread.join()
  }
}

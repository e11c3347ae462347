import NIOCore

/// Runs tasks on the event loops: a call then stays on the thread of its connection from the first
/// byte read to the last byte written, where a hop to the shared pool costs more than the call.
///
/// Nothing that blocks may run on it.
package final class EventLoopExecutor: TaskExecutor {
  private let group: any EventLoopGroup

  package init(_ group: any EventLoopGroup) { self.group = group }

  package func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    let executor = asUnownedTaskExecutor()
    // `any()` is the loop of the current thread, where it is one.
    group.any().execute { job.runSynchronously(on: executor) }
  }
}

import Synchronization
import Testing

@testable import Node

@Suite(.timeLimit(.minutes(5))) struct WakeHubTests {
  private func at(_ seconds: Int) -> Moment { Moment(sinceStart: .seconds(seconds)) }

  @Test func aChangeAfterTheLookEndsTheWait() async {
    let hub = WakeHub()
    await hub.withSubscription { subscription in
      hub.publish()
      hub.publish()
      #expect(await subscription.wait() == .changed)
      // Both were one.
      hub.tick(at(100))
      hub.close()
      #expect(await subscription.wait(until: at(1)) == .closed)
      #expect(await subscription.wait() == .closed)
    }
  }

  @Test func aDeadlineEndsTheWait() async {
    let hub = WakeHub()
    await hub.withSubscription { subscription in
      async let wake = subscription.wait(until: at(5))
      // The clock stands still until the wait has begun, whenever that is.
      let ticking = Task {
        while !Task.isCancelled {
          hub.tick(at(5))
          await Task.yield()
        }
      }
      #expect(await wake == .due)
      ticking.cancel()
    }
  }

  @Test func cancellationEndsTheWait() async {
    let hub = WakeHub()
    let task = Task { await hub.withSubscription { await $0.wait() } }
    task.cancel()
    #expect(await task.value == .cancelled)
    await hub.withSubscription { subscription in
      subscription.cancel()
      // A change does not hide it.
      hub.publish()
      #expect(await subscription.wait() == .cancelled)
    }
  }

  @Test func aClosedHubLetsNobodyWait() async {
    let hub = WakeHub()
    hub.close()
    #expect(hub.isClosed)
    #expect(await hub.withSubscription { await $0.wait() } == .closed)
  }

  @Test func noWakeUpIsLost() async {
    let hub = WakeHub()
    let box = Box()
    let last = 10_000
    async let seen: Void = hub.withSubscription { subscription in
      while box.value < last { _ = await subscription.wait() }
    }
    async let publishing: Void = Task.detached {
      for number in 1...last {
        box.value = number
        hub.publish()
      }
    }.value
    _ = await (seen, publishing)
    #expect(box.value == last)
  }
}

private final class Box: Sendable {
  private let state = Mutex(0)

  var value: Int {
    get { state.withLock { $0 } }
    set { state.withLock { $0 = newValue } }
  }
}

import Catalog
import Replay
import TestSupport
import Testing

@Suite struct CircuitBreakerTests {
  private func leader(_ term: UInt64, _ name: String = "a") throws -> LeaderRecord {
    LeaderRecord(
      member: ClusterMember(name: try MemberName(name), address: "\(name):1"),
      term: ClusterTerm(term))
  }

  private func ticket(
    _ breaker: inout CircuitBreaker, at now: Duration
  ) -> CircuitBreaker.Ticket? {
    if case .call(let ticket) = breaker.admit(at: now) { ticket } else { nil }
  }

  @Test func threeFailuresOpenItAndOneProbeAtATimeCloses() throws {
    var breaker = CircuitBreaker()
    #expect(breaker.admit(at: .zero) == .wait)
    breaker.point(to: try leader(1))
    for _ in 0..<3 {
      let call = try #require(ticket(&breaker, at: .zero))
      breaker.failed(call, at: .zero)
    }
    #expect(breaker.isOpen)
    var now = Duration.zero
    // Each failure doubles the pause, up to two seconds.
    for pause in [100, 200, 400, 800, 1600, 2000, 2000] {
      #expect(breaker.admit(at: now + .milliseconds(pause - 1)) == .refuse)
      now += .milliseconds(pause)
      let probe = try #require(ticket(&breaker, at: now))
      #expect(breaker.admit(at: now) == .refuse)
      breaker.failed(probe, at: now)
    }
    now += .seconds(2)
    let probe = try #require(ticket(&breaker, at: now))
    breaker.succeeded(probe, at: now)
    #expect(!breaker.isOpen)
    // And starts over with a short one.
    for _ in 0..<3 {
      let call = try #require(ticket(&breaker, at: now))
      breaker.failed(call, at: now)
    }
    #expect(breaker.admit(at: now + .milliseconds(99)) == .refuse)
    #expect(ticket(&breaker, at: now + .milliseconds(100)) != nil)
  }

  @Test func aFewTryALeaderOfWhichNothingIsKnown() throws {
    var breaker = CircuitBreaker()
    breaker.point(to: try leader(1))
    let tickets = (0..<3).compactMap { _ in ticket(&breaker, at: .zero) }
    #expect(tickets.count == 3)
    #expect(breaker.admit(at: .zero) == .wait)
    breaker.abandoned(tickets[0])
    #expect(ticket(&breaker, at: .zero) != nil)
    breaker.succeeded(tickets[1], at: .zero)
    // Proven: as many as like, for a while.
    for _ in 0..<100 { #expect(ticket(&breaker, at: .seconds(1)) != nil) }
    breaker.failed(tickets[2], at: .seconds(1))
    #expect(ticket(&breaker, at: .seconds(1)) != nil)
    #expect(breaker.admit(at: .seconds(1)) == .wait)
  }

  @Test func anotherLeaderOrTermStartsAfresh() throws {
    var breaker = CircuitBreaker()
    breaker.point(to: try leader(1))
    let old = (0..<3).compactMap { _ in ticket(&breaker, at: .zero) }
    for call in old { breaker.failed(call, at: .zero) }
    #expect(breaker.admit(at: .zero) == .refuse)
    breaker.point(to: try leader(2))
    #expect(ticket(&breaker, at: .zero) != nil)
    // Late news of the one before says nothing of this one.
    for call in old { breaker.failed(call, at: .zero) }
    for call in old { breaker.succeeded(call, at: .zero) }
    #expect(ticket(&breaker, at: .zero) != nil)
    #expect(ticket(&breaker, at: .zero) != nil)
    #expect(breaker.admit(at: .zero) == .wait)
    breaker.point(to: nil)
    #expect(breaker.admit(at: .zero) == .wait)
  }

  /// Callers come and go at random, to a leader that is dead from the start: however many they are, it is
  /// called three times, and then by one at a time with pauses in between.
  @Test(arguments: testSeeds(count: 40))
  func aDeadLeaderIsHardlyCalled(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var breaker = CircuitBreaker()
    breaker.point(to: try leader(1))
    var now = Duration.zero
    var underWay: [CircuitBreaker.Ticket] = []
    var calls = 0
    var openedAt: Duration?
    for _ in 0..<5_000 {
      now += .microseconds(Int.random(in: 0...2_000, using: &generator))
      if generator.oneIn(3), let index = underWay.indices.randomElement(using: &generator) {
        breaker.failed(underWay.remove(at: index), at: now)
        if breaker.isOpen, openedAt == nil { openedAt = now }
      } else if let call = ticket(&breaker, at: now) {
        underWay.append(call)
        calls += 1
        if openedAt != nil { #expect(underWay.count == 1, "seed \(seed): two probes") }
      }
    }
    let opened = try #require(openedAt, "seed \(seed)")
    // Pauses of 100 ms and twice as long each time, up to two seconds.
    var (most, end, pause) = (3, opened + .milliseconds(100), Duration.milliseconds(100))
    while end <= now {
      most += 1
      pause = min(pause * 2, .seconds(2))
      end += pause
    }
    #expect(calls <= most && calls > 3, "seed \(seed): \(calls) calls of at most \(most)")
  }

  /// A leader that answers is never cut off, and after an outage is called again before long.
  @Test(arguments: testSeeds(count: 20))
  func aLeaderThatComesBackIsFound(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var breaker = CircuitBreaker()
    breaker.point(to: try leader(1))
    var now = Duration.zero
    var underWay: [(ticket: CircuitBreaker.Ticket, end: Duration)] = []
    let (down, up) = (Duration.seconds(1), Duration.seconds(4))
    var isFound = false
    while now < .seconds(8) {
      now += .milliseconds(Int.random(in: 0...5, using: &generator))
      let isUp = now < down || now >= up
      for (index, call) in underWay.enumerated().reversed() where call.end <= now {
        underWay.remove(at: index)
        if isUp {
          breaker.succeeded(call.ticket, at: now)
        } else {
          breaker.failed(call.ticket, at: now)
        }
      }
      let admission = breaker.admit(at: now)
      if case .call(let call) = admission {
        underWay.append((call, now + .milliseconds(Int.random(in: 0...20, using: &generator))))
      }
      if now < down { #expect(admission != .refuse, "seed \(seed)") }
      if now >= up, !breaker.isOpen { isFound = true }
      // The last pause began before it was up again.
      if now > up + .seconds(2.1) { #expect(isFound, "seed \(seed)") }
    }
    #expect(isFound, "seed \(seed)")
  }
}

import Catalog
import TestSupport
import Testing

@testable import Replay

@Suite struct UpstreamChoiceTests {
  private static let options: UpstreamChoice.Options = {
    var options = UpstreamChoice.Options()
    options.stalenessLimit = .seconds(2)
    options.settleTime = .seconds(5)
    options.maximumSettleTime = .seconds(40)
    return options
  }()

  private func choice(_ own: String, _ learners: [String] = ["a", "b", "c"]) -> UpstreamChoice {
    UpstreamChoice(own: own, leader: "leader", learners: learners, options: Self.options)
  }

  private func following(
    _ way: String..., staleness: Duration = .zero
  ) -> UpstreamChoice.Sighting {
    .following(way: way, staleness: staleness, position: LogPosition(7))
  }

  @Test func theFirstFollowsTheLeaderAndTheOthersTheFirst() {
    let first = choice("a")
    #expect(first.current == .leader && first.isRelay && first.above.isEmpty)
    #expect(first.way == ["leader"])
    var third = choice("c")
    #expect(third.above == ["a", "b"])
    third.see("b", following("a", "leader"), at: .seconds(1))
    #expect(third.current == .learner("b"))
    #expect(third.way == ["b", "a", "leader"])
    third.see("a", following("leader"), at: .seconds(1))
    #expect(third.current == .learner("a") && !third.isRelay)
    #expect(third.way == ["a", "leader"] && third.position == LogPosition(7))
    #expect(third.changeCount == 2)
  }

  @Test func withoutAnOrderThereIsOnlyTheLeader() {
    var stranger = choice("x")
    stranger.see("a", following("leader"), at: .zero)
    #expect(stranger.current == .leader && !stranger.isRelay && stranger.above.isEmpty)
    #expect(!choice("a", ["a"]).isRelay)
    #expect(choice("a", []).current == .leader)
  }

  @Test func oneThatDiesIsReplacedAndTakenBackOnceItIsWell() {
    var third = choice("c")
    third.see("a", following("leader"), at: .seconds(0))
    third.see("b", following("a", "leader"), at: .seconds(0))
    third.lost(.learner("a"), "it is gone", at: .seconds(1))
    #expect(third.current == .learner("b"))
    third.see("b", .unfit("it is gone too"), at: .seconds(2))
    #expect(third.current == .leader)
    #expect(third.reason.contains("a: it is gone") && third.reason.contains("b: it is gone too"))
    // Not at once, and not when it was unwell in between.
    third.see("a", following("leader"), at: .seconds(3))
    third.see("a", .unfit("gone"), at: .seconds(5))
    third.see("a", following("leader"), at: .seconds(6))
    third.see("a", following("leader"), at: .seconds(10))
    #expect(third.current == .leader)
    third.see("a", following("leader"), at: .seconds(11))
    #expect(third.current == .learner("a"))
  }

  @Test func oneThatComesAndGoesIsTrustedLessEachTime() {
    var second = choice("b")
    var now = Duration.zero
    var waits: [Duration] = []
    second.see("a", following("leader"), at: now)
    for _ in 0..<6 {
      second.lost(.learner("a"), "gone", at: now)
      #expect(second.current == .leader)
      let since = now
      while second.current == .leader {
        now += .seconds(1)
        second.see("a", following("leader"), at: now)
      }
      waits.append(now - since - .seconds(1))
    }
    #expect(waits.map(\.components.seconds) == [5, 10, 20, 40, 40, 40])
    // All is forgiven after a long good time.
    now += .seconds(41)
    second.see("a", following("leader"), at: now)
    second.lost(.learner("a"), "gone", at: now)
    second.see("a", following("leader"), at: now)
    second.see("a", following("leader"), at: now + .seconds(5))
    #expect(second.current == .learner("a"))
  }

  @Test func oneThatLostTheLeaderIsOfNoUse() {
    var second = choice("b")
    second.see("a", following("leader", staleness: .seconds(1)), at: .zero)
    #expect(second.current == .learner("a"))
    second.see("a", following("leader", staleness: .seconds(3)), at: .seconds(1))
    #expect(second.current == .leader)
    #expect(second.reason.contains("3.0 seconds ago"))
  }

  @Test func whoeverComesThisWayIsNotFollowed() {
    var second = choice("b")
    second.see("a", following("b", "leader"), at: .zero)
    #expect(second.current == .leader && second.reason.contains("follows this node"))
  }

  @Test func aNewOrderKeepsWhatIsKnown() {
    var third = choice("c")
    third.see("a", following("leader"), at: .zero)
    third.rank(["a", "d", "c"])
    #expect(third.current == .learner("a") && third.above == ["a", "d"])
    third.rank(["d", "c", "a"])
    #expect(third.current == .leader && third.above == ["d"])
    third.rank(["c", "d"])
    #expect(third.isRelay && third.above.isEmpty)
  }

  /// Learners that look at each other while some die, return, or lose the leader: whoever follows
  /// whom, no circle lasts, and once all is quiet the first that reaches the leader feeds the rest.
  @Test(arguments: testSeeds(count: 20))
  func aRegionSettles(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let names = ["a", "b", "c", "d", "e"]
    // Two of them may have been told another order.
    var learners = names.map { name in
      choice(name, generator.oneIn(4) ? names.shuffled(using: &generator) : names)
    }
    let sameOrder = learners.allSatisfy {
      $0.above == Array(names[..<(names.firstIndex(of: $0.own) ?? 0)])
    }
    var isUp = [Bool](repeating: true, count: names.count)
    var reaches = isUp
    var now = Duration.zero
    func upstream(_ index: Int) -> Int? {
      guard case .learner(let name) = learners[index].current else { return nil }
      return names.firstIndex(of: name)
    }
    /// Whether entries of the leader come to a learner; nil in a circle.
    func isFed(_ index: Int) -> Bool? {
      var (at, steps) = (index, 0)
      while isUp[at] {
        guard let next = upstream(at) else { return reaches[at] }
        (at, steps) = (next, steps + 1)
        if steps > names.count { return nil }
      }
      return false
    }
    func look() {
      for viewer in names.indices.shuffled(using: &generator) where isUp[viewer] {
        for address in learners[viewer].above {
          guard let seen = names.firstIndex(of: address) else { continue }
          let sighting: UpstreamChoice.Sighting =
            // Those in a circle believe that they follow.
            isUp[seen] && isFed(seen) != false
            ? following(way: learners[seen].way) : .unfit("it is not fed")
          learners[viewer].see(address, sighting, at: now)
        }
      }
      now += .milliseconds(500)
    }
    for _ in 0..<200 {
      let index = Int.random(in: 0..<names.count, using: &generator)
      switch Int.random(in: 0..<6, using: &generator) {
      case 0: isUp[index].toggle()
      case 1: reaches[index].toggle()
      default: break
      }
      look()
      if sameOrder {
        for index in names.indices {
          if let upstream = upstream(index) { #expect(upstream < index, "seed \(seed)") }
        }
      }
    }
    isUp = isUp.map { _ in true }
    reaches[Int.random(in: 0..<names.count, using: &generator)] = true
    for _ in 0..<200 { look() }
    for index in names.indices { #expect(isFed(index) != nil, "seed \(seed)") }
    guard sameOrder, let relay = reaches.firstIndex(of: true) else { return }
    for index in names.indices where index > relay {
      #expect(upstream(index) == relay, "seed \(seed)")
    }
    let before = learners.map(\.changeCount)
    for _ in 0..<20 { look() }
    #expect(learners.map(\.changeCount) == before, "seed \(seed)")
  }

  private func following(way: [String]) -> UpstreamChoice.Sighting {
    .following(way: way, staleness: .zero, position: .zero)
  }
}

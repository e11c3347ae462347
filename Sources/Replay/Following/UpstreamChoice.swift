import Catalog

/// Decides whom a learner follows: the best of the learners that are ranked above it and follow the
/// leader themselves, directly or not; the leader where there is none.
///
/// The learners of a region share one order of rank. Each follows upwards only, so that in time the
/// first of them that reaches the leader follows it, as the region's relay, and feeds the others:
/// nobody is elected, and nobody has to agree on more than the order. Where orders differ a circle
/// could close; a learner that finds itself on another's way to the leader does not follow it.
///
/// Reads no clock: times are those of one clock that only runs forward, since its start.
package struct UpstreamChoice: Sendable {
  package struct Options: Hashable, Sendable {
    /// One whose entries may be older than this has lost the leader.
    package var stalenessLimit: Duration = .seconds(5)
    /// How long one that was lost has to be well before it is followed again. Twice as long after
    /// each further loss, up to ``maximumSettleTime``; as at first once it was followed for so long.
    package var settleTime: Duration = .seconds(5)
    package var maximumSettleTime: Duration = .seconds(300)

    package init() {}
  }

  /// What was seen of a learner when it was last looked at.
  package enum Sighting: Hashable, Sendable {
    /// It follows the leader on this way, its own upstream first and the leader last, and knows that
    /// it had everything this long ago.
    case following(way: [String], staleness: Duration, position: LogPosition)
    /// It is of no use, for this reason.
    case unfit(String)
  }

  /// Whom to follow.
  package enum Upstream: Hashable, Sendable {
    case leader
    /// The learner at this address.
    case learner(String)
  }

  private struct Candidate {
    var address: String
    var way: [String] = []
    var position = LogPosition.zero
    /// Since when it is well; nil while it is not.
    var wellSince: Duration?
    var problem = "it was not heard of yet"
    /// How often it was lost while it was followed, and since when it is followed.
    var losses = 0
    var followedSince: Duration?
  }

  /// The address that this learner is known by among the others.
  package let own: String
  package let leader: String
  private let options: Options
  /// The learners above this one, best first.
  private var candidates: [Candidate] = []
  /// Whether the order names others at all.
  private var isRanked = false
  package private(set) var current = Upstream.leader
  /// How often ``current`` changed.
  package private(set) var changeCount: UInt64 = 0

  /// Begins with the leader. `own` is the address that this learner is known by among the others;
  /// `learners` are those of the region in their order, this one among them: without it there is
  /// nobody to follow but the leader.
  package init(own: String, leader: String, learners: [String], options: Options = Options()) {
    (self.own, self.leader, self.options) = (own, leader, options)
    rank(learners)
  }

  /// The learners above this one, best first: who is to be looked at.
  package var above: [String] { candidates.map(\.address) }

  /// Takes a new order; what is known of those that stay is kept.
  package mutating func rank(_ learners: [String]) {
    let index = learners.firstIndex(of: own)
    isRanked = index != nil && learners.count > 1
    var seen: Set<String> = []
    candidates = learners[..<(index ?? 0)].filter { seen.insert($0).inserted }.map { address in
      candidates.first { $0.address == address } ?? Candidate(address: address)
    }
    if case .learner(let address) = current, !above.contains(address) { move(to: .leader, nil) }
  }

  /// Takes what was just seen of a learner, and chooses anew. No-op for one that is not above.
  package mutating func see(_ address: String, _ sighting: Sighting, at now: Duration) {
    guard let index = candidates.firstIndex(where: { $0.address == address }) else { return }
    switch sighting {
    case .following(let way, let staleness, let position):
      (candidates[index].way, candidates[index].position) = (way, position)
      if way.contains(own) {
        lose(index, "it follows this node")
      } else if staleness > options.stalenessLimit {
        lose(index, "it last had everything \(staleness) ago")
      } else if candidates[index].wellSince == nil {
        candidates[index].wellSince = now
        candidates[index].problem = "it has not been well for long enough"
      }
    case .unfit(let problem):
      lose(index, problem)
    }
    choose(at: now)
  }

  /// Notes that following `upstream` has ended, and chooses anew. A leader that was lost is gone on
  /// with for want of a better one.
  package mutating func lost(_ upstream: Upstream, _ problem: String, at now: Duration) {
    if case .learner(let address) = upstream,
      let index = candidates.firstIndex(where: { $0.address == address })
    {
      lose(index, problem)
    }
    choose(at: now)
  }

  private mutating func lose(_ index: Int, _ problem: String) {
    candidates[index].wellSince = nil
    candidates[index].problem = problem
    guard candidates[index].followedSince != nil else { return }
    candidates[index].followedSince = nil
    candidates[index].losses += 1
  }

  private mutating func choose(at now: Duration) {
    if case .learner(let address) = current,
      let index = candidates.firstIndex(where: { $0.address == address }),
      let since = candidates[index].followedSince, now - since >= options.maximumSettleTime
    {
      candidates[index].losses = 0
    }
    let best = candidates.first { candidate in
      guard let since = candidate.wellSince else { return false }
      return candidate.followedSince != nil || now - since >= settleTime(of: candidate)
    }
    move(to: best.map { .learner($0.address) } ?? .leader, now)
  }

  /// How long a learner has to be well before it is followed.
  private func settleTime(of candidate: Candidate) -> Duration {
    guard candidate.losses > 0 else { return .zero }
    var time = options.settleTime
    for _ in 1..<candidate.losses {
      guard time < options.maximumSettleTime else { break }
      time += time
    }
    return min(time, options.maximumSettleTime)
  }

  private mutating func move(to upstream: Upstream, _ now: Duration?) {
    guard upstream != current else { return }
    for index in candidates.indices { candidates[index].followedSince = nil }
    if case .learner(let address) = upstream,
      let index = candidates.firstIndex(where: { $0.address == address })
    {
      candidates[index].followedSince = now
    }
    current = upstream
    changeCount += 1
  }
}

extension UpstreamChoice {
  /// The way of the entries to this learner: whom it follows first, the leader last.
  package var way: [String] {
    guard case .learner(let address) = current else { return [leader] }
    let way = candidates.first { $0.address == address }?.way ?? []
    return [address] + way
  }

  /// Whether others of the region are to be fed by this one, which follows the leader itself.
  package var isRelay: Bool { isRanked && current == .leader }

  /// How far whom to follow had come when it was last seen; nil for the leader.
  package var position: LogPosition? {
    guard case .learner(let address) = current else { return nil }
    return candidates.first { $0.address == address }?.position
  }

  /// Why ``current`` is who it is, for people.
  package var reason: String {
    guard isRanked else { return "no other learner of the region was named" }
    let passedOver = candidates.prefix { .learner($0.address) != current }
      .map { "\($0.address): \($0.problem)" }.joined(separator: "; ")
    switch current {
    case .leader where candidates.isEmpty: return "it is the first of the region's learners"
    case .leader: return "none above it can be followed: \(passedOver)"
    case .learner where passedOver.isEmpty: return "the first of the region's learners"
    case .learner: return "the first that can be followed: \(passedOver)"
    }
  }
}

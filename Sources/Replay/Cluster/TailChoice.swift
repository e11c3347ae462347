import Catalog

/// Decides from where a member of a cluster takes the entries that others append: from the shared stream,
/// or from a peer that has stored them.
///
/// A peer that was lost, or that is behind the stream, is left alone for a while, twice as long each time
/// until it has brought something. Reads no clock: times are those of one clock that only runs forward,
/// since its start.
package struct TailChoice: Sendable {
  package struct Options: Hashable, Sendable {
    /// A peer is behind when it does not bring for so long what the stream has.
    package var behindLimit: Duration = .seconds(2)
    /// For how long a peer is left alone at first, and at most.
    package var firstPause: Duration = .seconds(1)
    package var maximumPause: Duration = .seconds(60)

    package init() {}
  }

  package enum Source: Hashable, Sendable {
    case stream
    /// The peer at this address.
    case peer(String)
  }

  private let options: Options
  private var rests: [String: (until: Duration, pause: Duration)] = [:]
  /// What the stream has and is not stored here, and since when that is known.
  private var lacking: (position: LogPosition, since: Duration)?
  /// Whether only the stream counts: one that is to lead has to know how it ends.
  package var isStreamOnly = false

  package init(options: Options = Options()) { self.options = options }

  /// From where to take entries now; `peers` are those that may be asked, the best first.
  package func source(among peers: [String], at now: Duration) -> Source {
    guard !isStreamOnly else { return .stream }
    let peer = peers.first { rests[$0].map { $0.until <= now } ?? true }
    return peer.map { .peer($0) } ?? .stream
  }

  /// When the next peer may be asked again; nil when none rests.
  package func nextTry(among peers: [String], after now: Duration) -> Duration? {
    guard !isStreamOnly else { return nil }
    return peers.compactMap { rests[$0]?.until }.filter { $0 > now }.min()
  }

  /// A peer cannot be followed for now.
  package mutating func lost(_ peer: String, at now: Duration) {
    let pause = min(rests[peer].map { $0.pause * 2 } ?? options.firstPause, options.maximumPause)
    rests[peer] = (now + pause, pause)
    lacking = nil
  }

  /// A peer brought entries, which are stored.
  package mutating func brought(by peer: String) { rests[peer] = nil }

  /// Takes note of where the stream ended a moment ago, and of what is stored here.
  ///
  /// - Returns: Whether who is followed is behind.
  package mutating func isBehind(
    _ end: LogPosition, stored: LogPosition, at now: Duration
  ) -> Bool {
    if let known = lacking, stored >= known.position { lacking = nil }
    guard stored < end else { return false }
    let since = lacking?.since ?? now
    if lacking == nil { lacking = (end, now) }
    return now - since >= options.behindLimit
  }
}

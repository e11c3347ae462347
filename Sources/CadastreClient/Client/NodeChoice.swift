import Catalog

/// A node that a ``CatalogClient`` may ask.
public struct CatalogEndpoint: Hashable, Sendable {
  /// Where it listens.
  public var address: NodeAddress
  /// The region that it is in; nil where that does not matter.
  public var region: Region?

  /// The node at `address`.
  public init(_ address: NodeAddress, region: Region? = nil) {
    self.address = address
    self.region = region
  }
}

/// Which node to ask next: those of the caller's own region before the others, in a random order, and
/// none that failed time and again until its time out is over. Knows no clock and no network.
package struct NodeChoice: Sendable {
  private struct Node: Sendable {
    var isHome: Bool
    var failures = 0
    /// Not asked before this; then one call is let through, and it is pushed on.
    var ejectedUntil: Duration?
  }

  private let policy: RetryPolicy
  private var nodes: [Node]

  /// Those in the region `home` are preferred; with nil none are.
  package init(_ endpoints: [CatalogEndpoint], home: Region?, policy: RetryPolicy) {
    self.policy = policy
    nodes = endpoints.map { Node(isHome: home == nil || $0.region == home) }
  }

  /// Whether the node is in the caller's region, or the caller prefers none.
  package func isHome(_ index: Int) -> Bool { nodes[index].isHome }

  /// Whether the node has failed so often that it is left alone, or is on trial.
  package func isEjected(_ index: Int) -> Bool { nodes[index].ejectedUntil != nil }

  /// The node to ask now, and `preferred` before the others; nil when each was `tried` by this call or
  /// is ejected.
  package mutating func next(
    at now: Duration, tried: Set<Int> = [], preferred: Int? = nil, onlyHome: Bool = false,
    using generator: inout some RandomNumberGenerator
  ) -> Int? {
    let open = nodes.indices.filter { index in
      !tried.contains(index) && (nodes[index].ejectedUntil.map { $0 <= now } ?? true)
    }
    let home = open.filter { nodes[$0].isHome }
    let others = onlyHome ? [] : open
    let choice: Int? =
      if let preferred, open.contains(preferred) { preferred } else {
        (home.isEmpty ? others : home).randomElement(using: &generator)
      }
    if let choice, nodes[choice].ejectedUntil != nil {
      // This call is the probe. Nobody else is let through until it must have ended.
      nodes[choice].ejectedUntil = now + max(policy.attemptTimeout, ejection(of: choice))
    }
    return choice
  }

  /// Notes that the node answered, whatever it said.
  package mutating func succeeded(_ index: Int) {
    nodes[index].failures = 0
    nodes[index].ejectedUntil = nil
  }

  /// Notes that the node could not be reached, or did not answer in time.
  package mutating func failed(_ index: Int, at now: Duration) {
    nodes[index].failures += 1
    guard nodes[index].failures >= max(1, policy.failuresToEject) else { return }
    nodes[index].ejectedUntil = now + ejection(of: index)
  }

  private func ejection(of index: Int) -> Duration {
    let doublings = min(max(0, nodes[index].failures - max(1, policy.failuresToEject)), 30)
    return min(policy.firstEjection * (1 << doublings), policy.maximumEjection)
  }
}

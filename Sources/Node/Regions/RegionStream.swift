import CadastreClient
import Catalog
import Replay
import StateMachines
import Synchronization

/// A region's stream in this node's folder: led from here, or a mirror of what another node leads.
package final class RegionStream: Sendable {
  /// What part the node plays in the stream.
  package enum Role: Sendable {
    case leader(RegionLeader)
    case mirror
    /// It was led from here, and the region was lost since, in this epoch: another node may lead it.
    case fenced(epoch: UInt64)
  }

  /// Shared with the store's observer, which is there before the stream is.
  private final class Leading: Sendable {
    let role: Mutex<Role>
    init(_ role: Role) { self.role = Mutex(role) }
  }

  package let region: Region
  package let store: RegionStore
  /// Whether others lead the stream, too, in turn: it is in a shared one before it is in the folder.
  package var isShared: Bool { store.sharedLog != nil }
  /// From when on what is decided here holds for all clocks: leaders before may issue until then.
  let decidesFrom = Mutex(MonotonicTime.zero)
  /// Those who follow the stream from here: woken when it moved on.
  package let changes = WakeHub()
  /// What is known of the leader of the stream that is mirrored.
  let bond = Mutex(MirrorBond())
  /// The epoch under which this process put on record that it leads the stream.
  let claimed = Mutex<UInt64?>(nil)
  private let epoch = Mutex<(number: UInt64, since: MonotonicTime)?>(nil)
  private let leading: Leading

  /// Opens the stream within the folder of a catalog's log, or makes it: as a mirror where `mirrors`
  /// says so, and to share it where `isShared` does. Blocks.
  init(
    _ region: Region, mirrors: Bool, isShared: Bool = false, folder: String, catalog: CatalogID,
    options: RegionOptions,
    clocks: GroupClocks, clock: NodeClock, wallMilliseconds: @escaping @Sendable () -> UInt64
  ) throws(StoreError) {
    self.region = region
    let leading = Leading(.mirror)
    self.leading = leading
    store = try RegionStore.open(
      folder: folder, region: region, catalog: catalog, options: options, mirrors: mirrors,
      isShared: isShared, wallMilliseconds: wallMilliseconds
    ) { entries, state in
      guard case .leader(let leader) = leading.role.withLock({ $0 }) else { return }
      let now = clock.monotonic
      for encoded in entries { leader.applied(encoded.entry, state: state, at: now) }
    }
    if !store.isMirror { lead(RegionLeader(clocks, of: region, at: clock.monotonic)) }
  }

  package var role: Role { leading.role.withLock { $0 } }

  /// Who leads from here; nil at a mirror, and once the region was lost.
  package var leader: RegionLeader? {
    if case .leader(let leader) = role { leader } else { nil }
  }

  package var isMirror: Bool {
    if case .mirror = role { true } else { false }
  }

  /// Takes note of the region's epoch, as the catalog has it here.
  ///
  /// - Returns: Since when this process knows of that epoch.
  @discardableResult
  func noteEpoch(_ number: UInt64, at now: MonotonicTime) -> MonotonicTime {
    epoch.withLock { epoch in
      if let epoch, epoch.number >= number { return epoch.since }
      epoch = (number, now)
      return now
    }
  }

  func lead(_ leader: RegionLeader) { leading.role.withLock { $0 = .leader(leader) } }

  /// Leads the shared stream from here; commands about transactions have to wait until `start`.
  func lead(_ leader: RegionLeader, decidingFrom start: MonotonicTime) {
    decidesFrom.withLock { $0 = start }
    lead(leader)
  }

  /// Follows the shared stream again; what was fenced stays so.
  func stopLeading() {
    leading.role.withLock { role in
      if case .leader = role { role = .mirror }
    }
  }

  /// Lets nobody lead from here any more.
  ///
  /// - Returns: false when that was so already.
  func fence(epoch: UInt64) -> Bool {
    let isShared = isShared
    return leading.role.withLock { role in
      switch role {
      case .leader: break
      // Who shares the stream might lead it next.
      case .mirror: guard isShared else { return false }
      case .fenced: return false
      }
      role = .fenced(epoch: epoch)
      return true
    }
  }

  /// How long ago the stream here was known to be whole: zero where it is led.
  package func staleness(at now: Moment) -> Duration? {
    guard store.condition == nil else { return nil }
    switch role {
    case .leader: return .zero
    case .mirror: return bond.withLock { $0.freshness.staleness(at: now.sinceStart) }
    case .fenced: return nil
    }
  }

  /// What those who follow the stream from here are told of it.
  func view(at now: Moment) -> LeaderView {
    // In this order; see ``LeaderView``.
    let (era, staleness) = (store.era, staleness(at: now))
    return LeaderView(era: era, staleness: staleness, state: store.current)
  }
}

/// A mirror's bond to the leader of its stream.
struct MirrorBond: Sendable {
  var leaderAddress = ""
  var isConnected = false
  var freshness = FreshnessBound()
  /// Since the start.
  var resets: UInt64 = 0
  var reconnects: UInt64 = 0
  /// What went wrong last; empty after it caught up again.
  var lastError = ""
}

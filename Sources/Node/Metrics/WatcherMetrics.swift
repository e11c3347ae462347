import Catalog
import Synchronization

/// Knows how far each watcher has come, and since when it has had something to read.
///
/// A watcher pays one atomic store a step; when versions were published is noted once for all.
package final class WatcherMetrics: Sendable {
  /// A watcher's place.
  package final class Place: Sendable {
    private let version: Atomic<UInt64>

    fileprivate init(_ version: CatalogVersion) { self.version = Atomic(version.rawValue) }

    /// The watcher has everything up to `version`.
    package func move(to version: CatalogVersion) {
      self.version.store(version.rawValue, ordering: .relaxed)
    }

    package var current: CatalogVersion { CatalogVersion(version.load(ordering: .relaxed)) }
  }

  private struct State {
    var places: [ObjectIdentifier: Place] = [:]
    var times = PublicationTimes()
  }

  private let state = Mutex(State())

  package init() {}

  /// Lends `body` the place of a new watcher, which has everything up to `version`.
  package func withPlace<Result>(
    at version: CatalogVersion, isolation: isolated (any Actor)? = #isolation,
    _ body: (Place) async throws -> Result
  ) async rethrows -> Result {
    let place = Place(version)
    state.withLock { $0.places[ObjectIdentifier(place)] = place }
    defer { _ = state.withLock { $0.places.removeValue(forKey: ObjectIdentifier(place)) } }
    return try await body(place)
  }

  /// Takes note that a version was published.
  package func published(_ version: CatalogVersion, at now: Moment) {
    state.withLock { $0.times.note(version, at: now) }
  }

  /// The watchers as they are.
  package struct Reading: Hashable, Sendable {
    package var count = 0
    /// Of the watcher that has had something to read for the longest time.
    package var lag = Duration.zero
    /// Of the watcher that lacks the most.
    package var versionLag: UInt64 = 0
  }

  package func reading(of current: CatalogVersion, at now: Moment) -> Reading {
    state.withLock { state in
      guard let slowest = state.places.values.map(\.current).min() else { return Reading() }
      var reading = Reading(count: state.places.count)
      if slowest < current {
        reading.versionLag = current.rawValue - slowest.rawValue
        reading.lag = state.times.time(after: slowest).map { now - $0 } ?? .zero
      }
      return reading
    }
  }

  /// Writes what the watchers are like.
  package func write(_ reading: Reading, to text: inout MetricsText) {
    text.gauge("cadastre_watchers", "Watches under way.", reading.count)
    text.gauge(
      "cadastre_watcher_lag_seconds",
      "How long the watcher that is furthest behind has had versions to read; 0 when all have "
        + "everything.", reading.lag.inSeconds)
    text.gauge(
      "cadastre_watcher_lag_versions",
      "How many versions the watcher that is furthest behind lacks.",
      reading.versionLag)
  }
}

/// When versions were published, for the recent ones exactly, for older ones to an eighth of their
/// age: few enough to keep, however many versions there were.
struct PublicationTimes: Sendable {
  static let capacity = 1024

  private(set) var notes: [(version: CatalogVersion, time: Moment)] = []

  /// A version that was not published before comes after those that were. Amortised O(1).
  mutating func note(_ version: CatalogVersion, at time: Moment) {
    guard notes.last.map({ $0.version < version }) ?? true else { return }
    notes.append((version, time))
    guard notes.count > Self.capacity else { return }
    let half = notes.count / 2
    var (kept, last) = ([notes[half]], notes[half].time)
    for index in (0..<half).reversed() {
      // Without this one the gap would reach from the last to the one before.
      let before = index > 0 ? notes[index - 1].time : nil
      guard before.map({ (last - $0) * 8 > time - last }) ?? true else { continue }
      kept.append(notes[index])
      last = notes[index].time
    }
    notes = kept.reversed() + notes[(half + 1)...]
  }

  /// When the version after `version` was published, or later; nil when it was not.
  func time(after version: CatalogVersion) -> Moment? {
    var (low, high) = (0, notes.count)
    while low < high {
      let middle = low + (high - low) / 2
      if notes[middle].version <= version { low = middle + 1 } else { high = middle }
    }
    return low < notes.count ? notes[low].time : nil
  }
}

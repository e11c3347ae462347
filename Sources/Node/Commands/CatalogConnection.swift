import CadastreClient
import Catalog
import StateMachines

/// What commands ask of a catalog, be it a folder that this process opened or a server.
protocol CatalogReader: Sendable {
  /// The route of each key, in the order of the keys; see ``ResolvedKeys``.
  func resolve(_ keys: [Key], demand: ReadDemand) async throws -> ResolvedKeys

  /// At most `limit` routes.
  func routes(_ selector: RouteSelector, limit: Int, demand: ReadDemand) async throws
    -> RouteListing

  func status() async throws -> CatalogStatus

  /// Hands every change after `version` that passes the filter to `body`, in order, until that says
  /// false or the task is cancelled; from now on where no version is given.
  func watch(
    after version: CatalogVersion?, _ filter: WatchFilter,
    _ body: @escaping @Sendable (WatchUpdate) throws -> Bool
  ) async throws
}

/// What changes a catalog.
protocol CatalogWriter: Sendable {
  /// Has `command` carried out.
  func submit(_ command: Command) async throws -> CommandReceipt
}

extension ReadOptions {
  var demand: ReadDemand {
    ReadDemand(minimumVersion: minVersion ?? .zero, maximumStaleness: maxStaleness)
  }
}

extension ReadStamp {
  /// The stamp's fields, as `--json` writes them.
  var fields: [(name: String, value: JSON)] {
    [
      ("version", JSON(version)),
      ("served_at_ms", .number(servedAtMilliseconds)),
      ("staleness_ms", JSON(staleness?.wholeMilliseconds)),
    ]
  }
}

struct ResolvedKeys: Sendable {
  /// That of the last batch, with the greatest staleness of all.
  var stamp: ReadStamp
  var routes: [Route]
  /// The version that the first batch was answered from. Most answers are of one batch and version.
  var firstVersion: CatalogVersion

  init(stamp: ReadStamp, routes: [Route]) {
    (self.stamp, self.routes) = (stamp, routes)
    firstVersion = stamp.version
  }

  /// Takes in the answer for the next batch.
  mutating func append(_ next: ResolvedKeys) {
    var stamp = next.stamp
    stamp.staleness = self.stamp.staleness.flatMap { staleness in
      stamp.staleness.map { max($0, staleness) }
    }
    self.stamp = stamp
    routes += next.routes
  }
}

struct RouteListing: Sendable {
  var stamp: ReadStamp
  var routes: [Route]
  /// Whether there are more than the limit let through.
  var hasMore: Bool
}

/// What a follower of changes hears.
enum WatchUpdate: Sendable {
  /// Changes after this version follow.
  case started(CatalogVersion)
  /// The asked version is not retained any more: so many routes pass the filter as they are.
  case reset(CatalogVersion, routeCount: UInt64, digest: StateDigest?, reason: String)
  case delta(RouteDelta)
  /// Up to this version nothing more comes that passes the filter.
  case passed(CatalogVersion)
}

/// How far a catalog has come, at the place that was asked.
struct CatalogStatus: Sendable {
  var catalog: CatalogID
  var version: CatalogVersion
  var position: LogPosition
  var firstPosition: LogPosition
  var routeCount: UInt64
  var digest: StateDigest
  var headHash: EntryHash
  var lastTime: HybridTimestamp
  /// What is wrong with the log, so that it takes no more entries; nil while nothing is.
  var condition: String?
  /// What is wrong beside the log, and keeps nobody from reading.
  var warnings: [String] = []
  /// Facts that only one kind of place knows: for people, and as fields.
  var more: [(label: String, text: String, name: String, value: JSON)] = []
}

import CadastreClient
import Catalog
import StateMachines
import TestSupport

extension CatalogClient.Options {
  /// The options of a client that is quick to notice and to try again.
  static func quick(
    _ region: String? = nil, _ change: (inout CatalogClient.Options) throws -> Void = { _ in }
  ) throws -> CatalogClient.Options {
    var options = CatalogClient.Options()
    options.region = try region.map { try Region($0) }
    options.probeInterval = .milliseconds(30)
    options.silenceLimit = .milliseconds(300)
    options.retry.deadline = .seconds(30)
    options.retry.attemptTimeout = .seconds(2)
    options.retry.maximumPause = .milliseconds(100)
    options.retry.firstEjection = .milliseconds(50)
    options.retry.maximumEjection = .milliseconds(200)
    options.retry.budget = 10_000
    try change(&options)
    return options
  }
}

extension CatalogClient {
  /// A command of a test, under an id of its own.
  func command(
    _ change: CatalogCommand.Change, expecting: CatalogVersion? = nil
  ) -> CatalogCommand {
    CatalogCommand(
      id: makeCommandID(), change, actor: "test", reason: "a test", expecting: expecting)
  }
}

/// Two routes, with "m" between them.
let firstRoutes = CatalogCommand.Change.bootstrap([
  RouteSeedRequest(start: .least, group: GroupID(1)),
  RouteSeedRequest(start: Key("m"), group: GroupID(2)),
])

// A router in miniature, which sees of Cadastre what any program outside it sees: the product
// CadastreClient. It is built without access to the package's own declarations.
//
//   .build/debug/client-example HOST:PORT...     against nodes of a catalog without routes

import CadastreClient
import Foundation

@main struct ClientExample {
  static func main() async {
    do {
      try await run()
    } catch {
      print("error: \(error)")
      exit(1)
    }
  }

  static func run() async throws {
    let nodes = try CommandLine.arguments.dropFirst().map {
      CatalogEndpoint(try NodeAddress($0), region: try Region("home"))
    }
    var options = CatalogClient.Options()
    options.region = try Region("home")
    options.probeInterval = .milliseconds(50)
    let client = try CatalogClient(nodes: nodes, options)
    try await client.whileRunning { client in try await route(with: client) }
  }

  static func route(with client: CatalogClient) async throws {
    // The first routes: group 1 has everything up to "m", group 2 the rest.
    let first = CatalogCommand(
      id: client.makeCommandID(),
      .bootstrap([
        RouteSeedRequest(start: .least, group: GroupID(1)),
        RouteSeedRequest(start: try Key(text: "m"), group: GroupID(2)),
      ]), actor: "example", reason: "the first routes")
    let made = try await client.submit(first)
    print("version \(made.version): \(made.newRoutes.count) routes")
    // Sent again, it is the same command.
    print("again: \(try await client.submit(first).outcome)")

    // Answered with what was just written, from here or by a node.
    let house = try Key(text: "house")
    let answer = try await client.resolve(house)
    print("\(house): route \(answer.value.id), group \(answer.value.group)")

    // A split that was decided on old routes is refused, with the routes as they are now.
    let cut = try await client.submit(
      CatalogCommand(
        id: client.makeCommandID(), .split([SplitRequest(at: try Key(text: "h"))]),
        actor: "example", reason: "too hot"))
    do {
      _ = try await client.submit(
        CatalogCommand(
          id: client.makeCommandID(), .split([SplitRequest(at: try Key(text: "c"))]),
          actor: "example", reason: "too hot", expecting: made.version))
    } catch let error as CatalogClientError where error.kind == .staleVersion {
      print("refused at version \(error.catalogVersion ?? .zero): \(error.reason ?? "")")
    }

    // From now on the routes are here: no call, no waiting.
    while client.version.map({ $0 < cut.version }) ?? true {
      try await Task.sleep(for: .milliseconds(5))
    }
    if let owner = client.owner(of: house), let snapshot = client.snapshot {
      print("\(house): route \(owner.route), group \(owner.group), \(owner.state)")
      for route in snapshot.routes(overlapping: .all) { print("  \(route.span) \(route.group)") }
    }
    while client.staleness == nil { try await Task.sleep(for: .milliseconds(5)) }
    print("fresh: \(client.staleness.map { $0 < .seconds(60) } ?? false)")
  }
}

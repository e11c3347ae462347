import Catalog
import Replay
import StateMachines

/// Somebody outside of the nodes: one in each region.
protocol SimulatedClient: AnyObject {
  var region: Int { get }
  /// Whether nothing that it began is unanswered.
  var isIdle: Bool { get }
  func start()
  func receive(_ message: Message)
}

/// Sends changes, each again and again under its id until there is an answer.
final class Writer: SimulatedClient {
  let region: Int
  private let id: Int
  private unowned let world: World
  private var command: Command?
  private var call: UInt64?

  init(id: Int, region: Int, world: World) {
    self.id = id
    self.region = region
    self.world = world
  }

  var isIdle: Bool { command == nil }

  func start() {
    world.after(.milliseconds(world.random(0...500))) { [self] in next() }
  }

  private func next() {
    guard world.takesChanges else { return }
    let routes = world.oracle.newest.routes.routes(overlapping: .all)
    command = Command(
      id: CommandID(number: world.nextNumber()),
      expectedVersion: world.happens(200) ? world.oracle.newest.version : nil,
      actor: "client \(id)", reason: "a change",
      change: RouteChange.random(for: routes, world))
    send()
  }

  private func send() {
    guard let command else { return }
    let call = world.nextNumber()
    self.call = call
    // Any node of its region passes it on; or the leader is asked itself.
    let near = world.nodes.filter { $0.region == region }.randomElement(using: &world.generator)
    let node = world.happens(500) ? world.leader.id : near?.id ?? world.leader.id
    world.network.send(
      .command(call, command, hops: 0), from: .client(id), to: .node(node))
    world.after(.milliseconds(world.random(800...3_000))) { [self] in
      if self.command?.id == command.id, self.call == call { send() }
    }
  }

  func receive(_ message: Message) {
    // An answer to any of the tries will do.
    guard case .outcome(_, let result) = message, let command else { return }
    switch result {
    case .success(let receipt):
      guard receipt.command == command.id else { return }
      world.statistics.acknowledged += 1
    case .failure(.refused), .failure(.commandIDReused):
      // Which of the commands it was is not said: only the answer to this try counts.
      break
    case .failure: return  // It may have happened: sent again.
    }
    self.command = nil
    world.after(.milliseconds(world.random(10...900))) { [self] in next() }
  }
}

extension RouteChange {
  /// A change that often can be carried out.
  fileprivate static func random(for routes: [Route], _ world: World) -> RouteChange {
    guard let route = routes.randomElement(using: &world.generator) else {
      return .bootstrap([
        RouteSeedRequest(start: .least, group: GroupID(1)),
        RouteSeedRequest(start: Key(unchecked: [0x6D]), group: GroupID(2)),
      ])
    }
    let some = (0..<world.random(1...3)).map { _ in
      (routes.randomElement(using: &world.generator) ?? route).id
    }
    switch world.random(0...9) {
    case 0...3 where routes.count < 40:
      return .split(
        (0..<world.random(1...4)).map { _ in
          SplitRequest(
            at: Key(unchecked: (0..<world.random(1...3)).map { _ in UInt8(world.random(97...122)) })
          )
        })
    case 0...5:
      let index = world.random(0...max(0, routes.count - 2))
      guard index + 1 < routes.count else { fallthrough }
      return .merge([MergeRequest(left: routes[index].id, right: routes[index + 1].id)])
    case 6...8: return .move(some, to: GroupID(UInt64(world.random(1...2))))
    default: return .setState(routes.map(\.id), to: world.happens(250) ? .writeFenced : .active)
    }
  }
}

/// Asks who owns keys, wherever in its region, and passes on the version that it saw.
final class Reader: SimulatedClient {
  let region: Int
  private let id: Int
  private unowned let world: World
  private var floor = CatalogVersion.zero
  private var calls: [UInt64: CatalogVersion] = [:]
  private(set) var lastAnswer = Duration.zero

  init(id: Int, region: Int, world: World) {
    self.id = id
    self.region = region
    self.world = world
  }

  var isIdle: Bool { true }

  func start() {
    world.after(.milliseconds(world.random(0...500))) { [self] in ask() }
  }

  private func ask() {
    world.after(.milliseconds(world.random(100...400))) { [self] in ask() }
    let near = world.nodes.filter { $0.region == region }
    guard let node = near.randomElement(using: &world.generator) else { return }
    let call = world.nextNumber()
    // One call at a time bears the version on: what was asked before an answer knows less.
    guard calls.isEmpty || world.happens(300) else { return }
    calls = [call: floor]
    let demands: [Duration?] = [nil, .milliseconds(600), .seconds(1), .seconds(3), .seconds(10)]
    world.network.send(
      .read(
        call, Key(unchecked: [UInt8(world.random(97...122))]),
        minimumVersion: world.has(.versionFloor) ? floor : .zero,
        maximumStaleness: demands.randomElement(using: &world.generator) ?? nil),
      from: .client(id), to: .node(node.id))
  }

  func receive(_ message: Message) {
    switch message {
    case .answer(let call, let version, _):
      guard calls.removeValue(forKey: call) != nil else { return }
      guard version >= floor else {
        return world.fail(
          Violation("reader \(id) saw version \(floor), passed it on, and then saw \(version)"))
      }
      floor = version
      lastAnswer = world.now
    case .unavailable(let call): calls[call] = nil
    default: break
    }
  }
}

/// Keeps a copy of the routes by the changes that it is told.
final class Router: SimulatedClient {
  let region: Int
  private let id: Int
  private unowned let world: World
  private var version: CatalogVersion?
  private var routes: [Key: Route] = [:]
  private var call: UInt64?

  init(id: Int, region: Int, world: World) {
    self.id = id
    self.region = region
    self.world = world
  }

  var isIdle: Bool { true }

  func start() {
    world.after(.milliseconds(world.random(0...500))) { [self] in ask() }
  }

  private func ask() {
    world.after(.milliseconds(world.random(100...600))) { [self] in ask() }
    let near = world.nodes.filter { $0.region == region }
    guard let node = near.randomElement(using: &world.generator) else { return }
    let call = world.nextNumber()
    self.call = call
    world.network.send(.watch(call, after: version), from: .client(id), to: .node(node.id))
  }

  func receive(_ message: Message) {
    guard case .changes(let call, let changes) = message, call == self.call else { return }
    self.call = nil
    do throws(Violation) {
      switch changes {
      case .snapshot(let version, let snapshot):
        // A node that lags behind tells of an older version: no step back for who knows more.
        guard version >= self.version ?? .zero else { return }
        routes = [:]
        for route in snapshot { routes[route.span.lower] = route }
        try check(version)
      case .deltas(let deltas):
        for delta in deltas {
          guard delta.from == version else {
            throw Violation(
              "router \(id) is at version \(version ?? .zero), and was told of what followed "
                + "\(delta.from)")
          }
          let removed = Set(delta.removed)
          routes = routes.filter { !removed.contains($0.value.id) }
          for route in delta.upserted { routes[route.span.lower] = route }
          try check(delta.to)
        }
      }
    } catch {
      world.fail(error)
    }
  }

  private func check(_ version: CatalogVersion) throws(Violation) {
    self.version = version
    world.statistics.updates += 1
    try world.oracle.check(
      routes.values.sorted { $0.span.lower < $1.span.lower }, at: version, "router \(id)")
  }
}

import Catalog
import Replay
import StateMachines
import TestSupport

/// Nodes, clients, a network, disks and clocks in one thread: everything that happens follows from
/// the seed.
final class World: SeededWorld {
  var faults: Faults
  let oracle: Oracle
  private(set) lazy var network = SimulatedNetwork(self)
  private(set) var nodes: [SimulatedNode] = []
  private(set) var clients: [any SimulatedClient] = []
  var isInTrouble = true
  private let absent: Set<SimulatedGuard>

  init(seed: UInt64, without absent: Set<SimulatedGuard>) {
    var generator = SeededGenerator(seed: seed)
    self.absent = absent
    faults = Faults.draw(using: &generator)
    let catalog = CatalogID(number: seed)
    oracle = Oracle(catalog: catalog)
    super.init(generator: generator)
    // A leader and a learner beside it; in two more regions learners that feed each other.
    for (id, region) in [0, 0, 1, 1, 2, 2, 2].enumerated() {
      let node = SimulatedNode(id: id, region: region, world: self, catalog: catalog)
      node.clock.drift = faults.drift * Double(random(-100...100)) / 100
      node.log.isLying = !has(.sync)
      node.log.forgetsHead = !has(.head)
      node.log.forgetsCommands = !has(.memory)
      nodes.append(node)
    }
    for region in 0..<3 {
      clients.append(Writer(id: clients.count, region: region, world: self))
      clients.append(Reader(id: clients.count, region: region, world: self))
      clients.append(Router(id: clients.count, region: region, world: self))
    }
  }

  var leader: SimulatedNode { nodes[0] }

  /// Whether a guard is on.
  func has(_ guarded: SimulatedGuard) -> Bool { !absent.contains(guarded) }

  /// The learners of a region, by the names that they know each other by, in their order of rank.
  func learners(of region: Int) -> [String] {
    nodes.filter { $0.region == region && !$0.isLeader }.map { "\($0.id)" }
  }

  // MARK: Messages

  func region(of endpoint: Endpoint) -> Int {
    switch endpoint {
    case .node(let id): nodes[id].region
    case .client(let id): clients[id].region
    }
  }

  func deliver(_ message: Message, from: Endpoint, to: Endpoint) {
    switch to {
    case .node(let id):
      if let process = nodes[id].process {
        process.receive(message, from: from)
      } else if let connection = message.connection, !message.isClose, happens(500) {
        // The machine is there, and says that nobody listens.
        network.send(.closed(connection), from: to, to: from)
      }
    case .client(let id): clients[id].receive(message)
    }
  }
}

/// What happened in a run, in numbers.
package struct Statistics: Sendable {
  package internal(set) var steps = 0
  package internal(set) var crashes = 0
  package internal(set) var damagedStarts = 0
  package internal(set) var reconnects = 0
  package internal(set) var divergences = 0
  package internal(set) var installs = 0
  package internal(set) var answers = 0
  package internal(set) var updates = 0
  package internal(set) var acknowledged = 0

  package init() {}

  package static func += (left: inout Statistics, right: Statistics) {
    left.steps += right.steps
    left.crashes += right.crashes
    left.damagedStarts += right.damagedStarts
    left.reconnects += right.reconnects
    left.divergences += right.divergences
    left.installs += right.installs
    left.answers += right.answers
    left.updates += right.updates
    left.acknowledged += right.acknowledged
  }
}

/// A digest of numbers in their order; FNV-1a over words.
struct TraceDigest {
  private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

  mutating func add(_ number: UInt64) { value = (value ^ number) &* 0x100_0000_01B3 }
}

extension CatalogID {
  init(number: UInt64) {
    let bytes =
      Array("simulate".utf8) + withUnsafeBytes(of: number.bigEndian, Array.init)
    guard let id = CatalogID(bytes: bytes) else { preconditionFailure("sixteen bytes are an id") }
    self = id
  }
}

extension CommandID {
  init(number: UInt64) {
    let bytes =
      Array("command ".utf8) + withUnsafeBytes(of: number.bigEndian, Array.init)
    guard let id = CommandID(bytes: bytes) else { preconditionFailure("sixteen bytes are an id") }
    self = id
  }
}

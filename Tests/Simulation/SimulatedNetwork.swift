import Catalog
import Replay
import StateMachines
import TestSupport

/// Who sends and receives.
enum Endpoint: Hashable {
  case node(Int)
  case client(Int)
}

/// What goes over the network. Calls and connections are known by numbers.
enum Message {
  case follow(UInt64, FollowStart)
  case question(UInt64, probe: UInt64)
  case stream(UInt64, FollowMessage)
  case closed(UInt64)
  case look(UInt64)
  case sighting(UInt64, UpstreamChoice.Sighting)
  case fetchState(UInt64)
  case state(UInt64, SentState)
  case command(UInt64, Command, hops: Int)
  case outcome(UInt64, Result<Receipt, CommandFailure>)
  case read(UInt64, Key, minimumVersion: CatalogVersion, maximumStaleness: Duration?)
  case answer(UInt64, CatalogVersion, RouteOwner)
  case watch(UInt64, after: CatalogVersion?)
  case changes(UInt64, WatchChanges)
  /// The call came to nothing.
  case unavailable(UInt64)

  /// The connection whose order the message keeps; nil for a call.
  var connection: UInt64? {
    switch self {
    case .follow(let id, _), .question(let id, _), .stream(let id, _), .closed(let id): id
    default: nil
    }
  }

  var isClose: Bool {
    if case .closed = self { true } else { false }
  }
}

/// A state on its way to a learner, and the commands that are known up to it.
struct SentState {
  var header: StateHeader
  var routes: [Route]
  var commands: [UInt8]
  var commandsHash: EntryHash
}

/// What a router is told.
enum WatchChanges {
  case snapshot(CatalogVersion, [Route])
  case deltas([RouteDelta])
}

/// Carries messages between regions, late, twice, damaged or not at all.
///
/// Messages of a connection come in order: when one is lost, so are all after it, as when a TCP
/// connection breaks. Calls are lost, doubled and overtaken one by one.
final class SimulatedNetwork {
  private unowned let world: World
  /// From where to where nothing goes.
  private var cuts: Set<Cut> = []
  private var severed: Set<Way> = []
  private var lastArrival: [Way: Duration] = [:]

  struct Cut: Hashable {
    var from: Endpoint
    var to: Endpoint
  }

  private struct Way: Hashable {
    var connection: UInt64
    var from: Endpoint
  }

  init(_ world: World) { self.world = world }

  func cut(_ cuts: [Cut]) { self.cuts.formUnion(cuts) }
  func mend(_ cuts: [Cut]) { self.cuts.subtract(cuts) }
  func mendAll() { cuts = [] }

  func send(_ message: Message, from: Endpoint, to: Endpoint) {
    let faults = world.faults
    let isLocal = world.region(of: from) == world.region(of: to)
    var delay = Duration.microseconds(
      isLocal ? world.random(200...2_000) : world.random(40_000...150_000))
    if world.happens(faults.delays) { delay += .milliseconds(world.random(100...3_000)) }
    let isLost = world.happens(faults.losses) || cuts.contains(Cut(from: from, to: to))
    // A whole state is longer than other messages.
    let length = if case .state = message { 4 } else { 1 }
    let message = world.happens(faults.wireDamage * length) ? damaged(message) : message
    guard let connection = message.connection else {
      guard !isLost else { return }
      world.after(delay) { [unowned world] in world.deliver(message, from: from, to: to) }
      if world.happens(faults.doubles) {
        world.after(delay + .milliseconds(world.random(0...2_000))) { [unowned world] in
          world.deliver(message, from: from, to: to)
        }
      }
      return
    }
    let way = Way(connection: connection, from: from)
    if isLost { severed.insert(way) }
    guard !severed.contains(way) else { return }
    let arrival = max(world.now + delay, lastArrival[way] ?? .zero)
    lastArrival[way] = arrival
    world.after(arrival - world.now) { [unowned world] in
      world.deliver(message, from: from, to: to)
    }
  }

  /// A message with a flipped bit in what it carries of the catalog.
  private func damaged(_ message: Message) -> Message {
    func flip(_ bytes: inout [UInt8]) {
      guard let index = bytes.indices.randomElement(using: &world.generator) else { return }
      bytes[index] ^= 1 << UInt8(world.random(0...7))
    }
    switch message {
    case .stream(let id, .entries(var batch, let hash, let leader)):
      guard let index = batch.indices.randomElement(using: &world.generator) else {
        return message
      }
      flip(&batch[index])
      return .stream(id, .entries(batch, lastHash: hash, leader))
    case .stream(let id, .part(var part)):
      flip(&part.bytes)
      return .stream(id, .part(part))
    case .state(let id, var state):
      if world.happens(200) {
        flip(&state.commands)
      } else if let index = state.routes.indices.randomElement(using: &world.generator) {
        state.routes[index].group = GroupID(state.routes[index].group.rawValue ^ 1)
      }
      return .state(id, state)
    default: return message
    }
  }
}

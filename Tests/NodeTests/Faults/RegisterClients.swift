import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import StateMachines
import TestSupport
import Testing

@testable import Node

/// Callers that read and change a few routes by way of several nodes, and take down what they are told.
final class RegisterClients: Sendable {
  /// The key that a register is looked up by, and the route that holds it.
  struct Register: Sendable {
    var key: Key
    var route: RouteID
    var start: RouteRegister.Value
  }

  /// A lookup's answer, and the version that it was given for.
  struct Lookup: Sendable {
    var register: Int
    var value: RouteRegister.Value
    var version: CatalogVersion
  }

  /// A command that was sent, and what became of it; nil when nobody knows.
  struct Sent: Sendable {
    var id: CommandID
    var result: RouteRegister.Result?
    var receipt: CommandReceipt?
  }

  /// What was seen of the catalog's version by something that was recorded.
  struct Sight: Sendable {
    var index: Int
    var version: CatalogVersion
  }

  /// Commands whose outcome nobody knows make an order hard to find: of each register so many.
  private static let maximumUnknownCount = 6
  private static let deadline = Duration.milliseconds(700)

  let registers: [Register]
  let recorder = HistoryRecorder<RouteRegister>()
  let lookups = Shared<[Lookup]>([])
  let sent = Shared<[Sent]>([])
  let sights = Shared<[Sight]>([])
  let isDone = Shared(false)
  /// How many commands were carried out.
  let doneCount = Shared(0)
  /// The greatest version that anybody was told.
  private let told = Shared(CatalogVersion.zero)
  private let unknownCounts: Shared<[Int]>
  private let cuts = Shared(999_999)
  private let nodes: [NodeClient]
  /// The nodes that answer with all that was acknowledged before they were asked, asked for no version.
  private let currentNodes: Set<Int>

  init(_ registers: [Register], nodes: [NodeClient], currentNodes: Set<Int>) {
    self.registers = registers
    self.nodes = nodes
    self.currentNodes = currentNodes
    unknownCounts = Shared(registers.map { _ in 0 })
  }

  /// Cuts registers out of a catalog of one route.
  static func makeRegisters(
    count: Int, by client: NodeClient
  ) async throws -> [Register] {
    let keys = (0..<count).map { Key("r\($0)") }
    // A node that has just begun may have no leader yet.
    let command = Command.test(.split(keys.map { SplitRequest(at: $0) }))
    try await until {
      do {
        try await client.submit(command, deadline: .seconds(5))
        return true
      } catch {
        guard isPassing(NodeError(any: error)) else { throw error }
        try await Task.sleep(for: .milliseconds(50))
        return false
      }
    }
    let version = try await client.submit(command, deadline: .seconds(5)).version
    let routes = try await client.resolve(
      keys, demand: ReadDemand(minimumVersion: version), deadline: .seconds(5))
    return zip(keys, routes.value).map { key, route in
      Register(key: key, route: route.id, start: RouteRegister.Value(route))
    }
  }

  /// Whether a call failed by what is done to nodes, and may be made again.
  private static func isPassing(_ error: NodeError) -> Bool {
    [.unavailable, .deadlineExceeded, .cancelled].contains(error.code)
  }

  /// Calls one thing after the other until ``isDone``.
  func run(_ client: Int, seed: UInt64) async throws {
    var generator = SeededGenerator(seed: seed)
    var seen: [RouteRegister.Value?] = registers.map(\.start)
    while !isDone.value {
      let register = Int.random(in: 0..<registers.count, using: &generator)
      let node = Int.random(in: 0..<nodes.count, using: &generator)
      if let value = seen[register], generator.oneIn(2) {
        let operation = draw(register, value, using: &generator)
        seen[register] = try await change(
          register, operation, client, seen: value, using: &generator)
      } else if generator.oneIn(4) {
        try await glance(register, at: node)
      } else {
        let asksForVersion = !currentNodes.contains(node) || generator.oneIn(2)
        seen[register] = try await look(register, at: node, asksForVersion, client)
      }
      try await Task.sleep(for: .milliseconds(Int.random(in: 0...4, using: &generator)))
    }
  }

  // MARK: Lookups

  /// A lookup that is in order with everything else, or fails and does not count.
  private func look(
    _ register: Int, at node: Int, _ asksForVersion: Bool, _ client: Int
  ) async throws -> RouteRegister.Value? {
    let index = recorder.begin(.read, on: register, client: client)
    // Not before the beginning: it is to cover all that had ended by then.
    let demand = asksForVersion ? ReadDemand(minimumVersion: told.value) : .none
    guard let lookup = try await lookUp(register, at: node, demand) else { return nil }
    hear(lookup.version, of: index)
    recorder.end(index, .found(lookup.value))
    return lookup.value
  }

  /// A lookup that may be of any age: it need only be true for its version.
  private func glance(_ register: Int, at node: Int) async throws {
    _ = try await lookUp(register, at: node, .none)
  }

  private func lookUp(
    _ register: Int, at node: Int, _ demand: ReadDemand
  ) async throws -> Lookup? {
    do {
      let answer = try await nodes[node].resolve(
        registers[register].key, demand: demand, deadline: Self.deadline)
      #expect(answer.stamp.version >= demand.minimumVersion)
      let lookup = Lookup(
        register: register, value: RouteRegister.Value(answer.value),
        version: answer.stamp.version)
      lookups.change { $0.append(lookup) }
      return lookup
    } catch {
      try #require(Self.isPassing(error), "a lookup: \(error.code): \(error)")
      return nil
    }
  }

  /// Before an operation ends its version is told, so that whoever begins after it asks for it.
  private func hear(_ version: CatalogVersion, of index: Int? = nil) {
    told.change { $0 = max($0, version) }
    if let index { sights.change { $0.append(Sight(index: index, version: version)) } }
  }

  // MARK: Commands

  private func draw(
    _ register: Int, _ value: RouteRegister.Value, using generator: inout SeededGenerator
  ) -> RouteRegister.Operation {
    let number = cuts.change { cuts in
      cuts -= 1
      return cuts
    }
    switch Int.random(in: 0..<6, using: &generator) {
    case 0..<2: return .move(to: GroupID(UInt64(number)), expected: value.version)
    case 2: return .move(to: GroupID(UInt64(number)), expected: nil)
    case 3: return .split(at: Key("r\(register)/\(number)"), expected: value.version)
    case 4: return .setState(.active, expected: value.version)
    default: return .setState(.writeFenced, expected: value.version)
    }
  }

  /// Sends a command, again and again under its id, until there is an answer or the caller gives up;
  /// what the caller knows of the route then.
  private func change(
    _ register: Int, _ operation: RouteRegister.Operation, _ client: Int,
    seen value: RouteRegister.Value, using generator: inout SeededGenerator
  ) async throws -> RouteRegister.Value? {
    let command = command(operation, registers[register].route)
    let index = recorder.begin(operation, on: register, client: client)
    while true {
      let node = Int.random(in: 0..<nodes.count, using: &generator)
      do {
        let receipt = try await nodes[node].submit(command, deadline: Self.deadline)
        let result: RouteRegister.Result =
          receipt.outcome == .alreadyDone ? .alreadyDone : .made(receipt.version)
        hear(receipt.version, of: result == .alreadyDone ? nil : index)
        end(index, Sent(id: command.id, result: result, receipt: receipt))
        return result == .alreadyDone ? value : nil
      } catch {
        if let result = Self.result(of: error) {
          // A refusal tells of changes whose own callers may not have heard of them yet.
          hear(CatalogVersion(error.detail?.catalogVersion ?? 0))
          end(index, Sent(id: command.id, result: result))
          return nil
        }
        try #require(Self.isPassing(error), "\(operation): \(error.code): \(error)")
      }
      let givesUp = generator.oneIn(8) && mayBeUnknown(register)
      if givesUp || isDone.value {
        sent.change { $0.append(Sent(id: command.id)) }
        return nil
      }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  private func command(_ operation: RouteRegister.Operation, _ route: RouteID) -> Command {
    switch operation {
    case .move(let group, let expected): .test(.move([route], to: group), expecting: expected)
    case .setState(let state, let expected):
      .test(.setState([route], to: state), expecting: expected)
    case .split(let key, let expected):
      .test(.split([SplitRequest(route: route, at: key)]), expecting: expected)
    case .read: preconditionFailure("a lookup is no command")
    }
  }

  /// What a refusal says that can never become otherwise; nil for every other error.
  private static func result(of error: NodeError) -> RouteRegister.Result? {
    switch error.reason {
    case "stale_version": .refusedAsStale
    case "route_not_active": .refusedAsInactive
    case "split_key_outside_route": .refusedAsOutside
    default: nil
    }
  }

  private func end(_ index: Int, _ sent: Sent) {
    self.sent.change { $0.append(sent) }
    if let result = sent.result { recorder.end(index, result) }
    if sent.receipt != nil { doneCount.change { $0 += 1 } }
  }

  private func mayBeUnknown(_ register: Int) -> Bool {
    unknownCounts.change { counts in
      guard counts[register] < Self.maximumUnknownCount else { return false }
      counts[register] += 1
      return true
    }
  }
}

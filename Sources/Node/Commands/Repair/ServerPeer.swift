import CadastreClient
import Catalog
import Dispatch
import Foundation
import GRPCCore
import Replay
import StateMachines
import Synchronization

/// A node that a repair asks for what is damaged here, over its audit and replication services.
///
/// A repair runs on a thread of its own and waits; the calls run where calls run.
struct ServerPeer: RepairPeer {
  let address: NodeAddress
  let connection: ConnectionOptions

  var name: String { "\(address)" }

  func catalog() throws(StoreError) -> CatalogID {
    try call { try await $0.status().catalog }
  }

  func extent() throws(StoreError) -> (first: LogPosition, end: EventLog.Tail) {
    let status = try call { try await $0.status() }
    return (
      status.firstPosition,
      EventLog.Tail(position: status.position, hash: status.headHash, version: status.version)
    )
  }

  func entries(
    after position: LogPosition, through last: LogPosition
  ) throws(StoreError) -> [EncodedEntry] {
    try call { client in
      var bounds = LogBounds()
      bounds.firstPosition = position.next
      bounds.lastPosition = last
      let entries = Collected<EncodedEntry>()
      try await client.auditLog(bounds, limit: 4_096) { piece in
        if case .elements(let more) = piece { entries.add(more) }
        return true
      }
      // One that no longer has them begins with a later one.
      guard entries.all.first?.entry.position ?? position.next == position.next else {
        throw StoreError.notRetained(
          position.next, first: entries.all[0].entry.position)
      }
      return entries.all
    }
  }

  func contents(
    of header: StateMachines.StateHeader
  ) throws(StoreError) -> (routes: [Route], membership: [UInt8]) {
    var members: [UInt8] = []
    if header.membership != .zero {
      members = try call { client in
        try await client.fetchMembers(at: header.position, of: header.catalog)
      }
    }
    return (try routes(overlapping: .all, at: header.version), members)
  }

  func routes(
    overlapping span: KeySpan, at version: CatalogVersion
  ) throws(StoreError) -> [Route] {
    try call { client in
      let routes = Collected<Route>()
      try await client.auditAt(.span(span), asOf: .version(version)) { piece in
        if case .elements(let more) = piece { routes.add(more) }
        return true
      }
      return routes.all
    }
  }

  func commands(through last: LogPosition) throws(StoreError) -> CommandWindow {
    let known = try call { client in
      try await client.fetchState(of: nil).commandWindow()
    }
    return CommandWindow(known.records.prefix { $0.position <= last })
  }

  func beginning() throws(StoreError) -> CatalogState? {
    try call { client in
      guard try await client.status().firstPosition > LogPosition(1) else { return nil }
      return try await client.fetchState(of: nil).state()
    }
  }

  /// Runs a call and waits for it.
  private func call<Result: Sendable>(
    _ body: @escaping @Sendable (NodeClient) async throws -> Result
  ) throws(StoreError) -> Result {
    let outcome = Mutex<Swift.Result<Result, any Error>?>(nil)
    let box = Outcome(outcome)
    let done = DispatchSemaphore(value: 0)
    Task { [address, connection] in
      do {
        let result = try await NodeClient.with(address, connection: connection, body)
        box.value.withLock { $0 = .success(result) }
      } catch {
        box.value.withLock { $0 = .failure(error) }
      }
      done.signal()
    }
    done.wait()
    do {
      guard let result = try box.value.withLock({ try $0?.get() }) else {
        throw NodeError(.unknown, "the call has no outcome")
      }
      return result
    } catch let error as StoreError {
      throw error
    } catch {
      throw .system(operation: "call of \(address)", code: 0, message: "\(NodeError(any: error))")
    }
  }
}

/// What a call left.
private final class Outcome<Value: Sendable>: Sendable {
  let value: Mutex<Swift.Result<Value, any Error>?>

  init(_ value: consuming Mutex<Swift.Result<Value, any Error>?>) { self.value = value }
}

/// What the pieces of an answer had.
private final class Collected<Element: Sendable>: Sendable {
  private let elements = Mutex<[Element]>([])

  var all: [Element] { elements.withLock { $0 } }
  func add(_ more: [Element]) { elements.withLock { $0 += more } }
}

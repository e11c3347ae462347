import CadastreClient
import Catalog
import GRPCCore
import StateMachines
import Synchronization

/// A learner's connection to the node that it follows. One that went silent is given up for a new
/// one: what swallows the packets of an old connection may let those of a new one through.
package final class LeaderLink: Sendable {
  private struct Line: Sendable {
    let client: NodeClient
    /// Closed when the line is given up.
    let end = WakeHub()
  }

  package let address: NodeAddress
  private let connection: ConnectionOptions
  private let current: Mutex<Line>
  private let lines: AsyncStream<Line>
  private let opened: AsyncStream<Line>.Continuation

  /// Connects once ``run()`` runs.
  ///
  /// - Throws: ``NodeError`` when the address is none that can be connected to.
  package init(
    _ address: NodeAddress, connection: ConnectionOptions = ConnectionOptions()
  ) throws(NodeError) {
    self.address = address
    self.connection = connection
    let line = Line(client: try NodeClient(address, connection: connection))
    current = Mutex(line)
    (lines, opened) = AsyncStream.makeStream()
    opened.yield(line)
  }

  /// Where to call the leader now.
  package var client: NodeClient { current.withLock { $0.client } }

  /// Gives up the connection of `silent`, and fails every call on it. No-op when that has happened.
  package func replace(_ silent: NodeClient) {
    // The address was one to connect to before.
    guard client === silent, let client = try? NodeClient(address, connection: connection) else {
      return
    }
    let old = current.withLock { line -> Line? in
      guard line.client === silent, !line.end.isClosed else { return nil }
      defer {
        line = Line(client: client)
        opened.yield(line)
      }
      return line
    }
    old?.end.close()
  }

  /// Keeps a connection until the task is cancelled.
  package func run() async {
    await withDiscardingTaskGroup { group in
      for await line in lines { group.addTask { await Self.run(line) } }
    }
  }

  private static func run(_ line: Line) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { try? await line.client.run() }
      group.addTask { await line.end.untilClosed() }
      await group.next()
      group.cancelAll()
    }
  }

  /// Takes no more calls; those under way may end.
  package func shutdown() {
    opened.finish()
    client.shutdown()
  }

  /// Fails the calls that are still under way, for good.
  package func close() {
    opened.finish()
    current.withLock { $0 }.end.close()
  }
}

extension LeaderLink {
  /// The leader's whole state; see ``NodeClient/fetchState(of:deadline:progress:)``. Gives up, and
  /// the connection with it, when nothing comes for `silenceLimit`.
  package func fetchState(
    of catalog: CatalogID, silenceLimit: Duration
  ) async throws -> FetchedState {
    let (client, address) = (client, address)
    return try await whileHeard(every: silenceLimit) { heard in
      try await client.fetchState(of: catalog) { _ in heard() }
    } orThrow: {
      self.replace(client)
      return NodeError(
        .unavailable, "nothing more of its state was heard of \(address) for \(silenceLimit)")
    }
  }
}

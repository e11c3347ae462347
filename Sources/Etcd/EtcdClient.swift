import CadastreClient
import GRPCCore
import Replay
import SwiftProtobuf
import Synchronization

/// Calls an etcd cluster through whichever of its members answers.
///
/// All reads are linearizable. What may be asked twice is tried at each member in turn; what may not
/// be is tried at one, and ``EtcdError/lost(_:)`` leaves it to the caller to find out.
package final class EtcdClient: Sendable {
  struct Endpoint: Sendable {
    let address: NodeAddress
    let transport: NodeTransport
    let client: GRPCClient<NodeTransport>
    let kv: Etcdserverpb_KV.Client<NodeTransport>
    let watch: Etcdserverpb_Watch.Client<NodeTransport>
    let lease: Etcdserverpb_Lease.Client<NodeTransport>
    let maintenance: Etcdserverpb_Maintenance.Client<NodeTransport>
    let auth: Etcdserverpb_Auth.Client<NodeTransport>
  }

  package let options: EtcdOptions
  private let endpoints: [Endpoint]
  /// The member that answered last.
  private let preferred = Mutex(0)
  let credential = Mutex(EtcdCredential.unknown)
  private let running = Mutex<Task<Void, Never>?>(nil)

  /// Makes a client that connects once ``run()`` runs.
  ///
  /// - Throws: ``NodeError`` when an address or a file of certificates cannot be used.
  package init(_ options: EtcdOptions) throws(NodeError) {
    guard !options.endpoints.isEmpty else {
      throw NodeError(.invalidArgument, "etcd is to be reached at no address")
    }
    self.options = options
    var endpoints: [Endpoint] = []
    for address in options.endpoints {
      let transport = try NodeTransport(
        to: address, options.connection, asksWithoutCalls: false)
      let client = GRPCClient(transport: transport)
      endpoints.append(
        Endpoint(
          address: address, transport: transport, client: client, kv: .init(wrapping: client),
          watch: .init(wrapping: client), lease: .init(wrapping: client),
          maintenance: .init(wrapping: client), auth: .init(wrapping: client)))
    }
    self.endpoints = endpoints
  }

  deinit { running.withLock { $0 }?.cancel() }

  /// Keeps connections until the task is cancelled or ``shutdown()``.
  package func run() async { await Self.run(endpoints) }

  /// Keeps connections for as long as somebody holds the client.
  package func start() {
    let endpoints = endpoints
    running.withLock { running in
      if running == nil { running = Task.detached { await Self.run(endpoints) } }
    }
  }

  private static func run(_ endpoints: [Endpoint]) async {
    await withTaskGroup(of: Void.self) { group in
      for endpoint in endpoints {
        group.addTask { try? await endpoint.client.runConnections() }
      }
    }
  }

  /// Takes no more calls, and lets ``run()`` return once those under way are done.
  package func shutdown() {
    for endpoint in endpoints { endpoint.client.beginGracefulShutdown() }
  }

  // MARK: - Calls

  /// The member to be asked now.
  func endpoint() -> Endpoint { endpoints[preferred.withLock { $0 }] }

  /// Asks the next member from now on, unless that was done since `endpoint` was asked.
  func leave(_ endpoint: Endpoint) {
    preferred.withLock { preferred in
      guard endpoints[preferred].address == endpoint.address else { return }
      preferred = (preferred + 1) % endpoints.count
    }
  }

  func callOptions(_ timeout: Duration?) -> CallOptions {
    var call = CallOptions.defaults
    call.timeout = timeout
    // Where there is no other member to ask, a connection is waited for as long as the call may take.
    call.waitForReady = endpoints.count == 1
    call.maxRequestMessageBytes = NodeClient.maximumMessageByteCount
    call.maxResponseMessageBytes = Self.maximumResponseByteCount
    return call
  }

  /// etcd puts as much into an answer as was asked for.
  private static let maximumResponseByteCount = 64 << 20

  /// Makes one call at one member.
  func once<Result: Sendable>(
    timeout: Duration? = nil,
    _ call: @Sendable (Endpoint, Metadata, CallOptions) async throws -> Result
  ) async throws(EtcdError) -> Result {
    let endpoint = endpoint()
    do {
      return try await attempt(at: endpoint, timeout: timeout ?? options.callTimeout, call)
    } catch {
      switch error {
      case .lost: leave(endpoint)
      case .refused where error.asksForToken && options.user != nil:
        credential.withLock { $0 = .unknown }
        return try await attempt(at: endpoint, timeout: timeout ?? options.callTimeout, call)
      case .refused: break
      }
      throw error
    }
  }

  private func attempt<Result: Sendable>(
    at endpoint: Endpoint, timeout: Duration,
    _ call: @Sendable (Endpoint, Metadata, CallOptions) async throws -> Result
  ) async throws(EtcdError) -> Result {
    do {
      let metadata = try await metadata(at: endpoint)
      return try await call(endpoint, metadata, callOptions(timeout))
    } catch let error as EtcdError {
      throw error
    } catch {
      throw failure(of: error, at: endpoint)
    }
  }

  /// Why a call failed. One that waits for a connection until its time is up is not told why there is
  /// none.
  private func failure(of error: any Error, at endpoint: Endpoint) -> EtcdError {
    let error = NodeError(any: error)
    switch error.code {
    case .deadlineExceeded, .unavailable:
      if let problem = endpoint.transport.connectionProblem {
        return .lost(problem.message, problem)
      }
    default: break
    }
    return EtcdError(error, at: endpoint.address)
  }

  /// Makes a call that may be made twice: at each member in turn until one answers.
  func anywhere<Result: Sendable>(
    _ call: @Sendable (Endpoint, Metadata, CallOptions) async throws -> Result
  ) async throws(EtcdError) -> Result {
    var left = endpoints.count
    while true {
      do {
        return try await once(call)
      } catch {
        left -= 1
        guard case .lost = error, left > 0, !Task.isCancelled else { throw error }
      }
    }
  }

  /// Opens a stream at one member, for as long as `body` wants it.
  func stream<Result: Sendable>(
    _ body: @Sendable (Endpoint, Metadata, CallOptions) async throws -> Result
  ) async throws -> Result {
    let endpoint = endpoint()
    do {
      let metadata = try await metadata(at: endpoint)
      var call = callOptions(nil)
      call.waitForReady = false
      return try await body(endpoint, metadata, call)
    } catch let error as RPCError {
      let failure = failure(of: error, at: endpoint)
      if failure.asksForToken { credential.withLock { $0 = .unknown } }
      if case .lost = failure { leave(endpoint) }
      throw failure
    }
  }
}

extension EtcdClient {
  func range(_ request: Etcdserverpb_RangeRequest) async throws(EtcdError)
    -> Etcdserverpb_RangeResponse
  {
    try await anywhere { try await $0.kv.range(request, metadata: $1, options: $2) }
  }

  func transact(_ request: Etcdserverpb_TxnRequest) async throws(EtcdError)
    -> Etcdserverpb_TxnResponse
  {
    try await once { try await $0.kv.txn(request, metadata: $1, options: $2) }
  }

  /// A transaction that reads only, or does the same when it is done again.
  func transactAnywhere(
    _ request: Etcdserverpb_TxnRequest
  ) async throws(EtcdError) -> Etcdserverpb_TxnResponse {
    try await anywhere { try await $0.kv.txn(request, metadata: $1, options: $2) }
  }

  /// Forgets the revisions before one. Done already is done.
  func compact(before revision: Int64) async throws(EtcdError) {
    do {
      _ = try await anywhere { endpoint, metadata, call in
        try await endpoint.kv.compact(
          .with { $0.revision = revision }, metadata: metadata, options: call)
      }
    } catch {
      if !error.isCompacted { throw error }
    }
  }

  func status() async throws(EtcdError) -> Etcdserverpb_StatusResponse {
    try await anywhere { endpoint, metadata, call in
      try await endpoint.maintenance.status(.init(), metadata: metadata, options: call)
    }
  }

  /// The release that each member says it is of, or why it says nothing.
  package func memberVersions() async -> [(
    address: NodeAddress, version: Result<String, SharedStreamError>
  )] {
    var answers: [(address: NodeAddress, version: Result<String, SharedStreamError>)] = []
    for endpoint in endpoints {
      answers.append((endpoint.address, await version(of: endpoint)))
    }
    return answers
  }

  private func version(of endpoint: Endpoint) async -> Result<String, SharedStreamError> {
    do throws(EtcdError) {
      return .success(
        try await attempt(at: endpoint, timeout: .seconds(2)) { endpoint, metadata, call in
          try await endpoint.maintenance.status(.init(), metadata: metadata, options: call).version
        })
    } catch {
      return .failure(SharedStreamError(error))
    }
  }

  func grant(seconds: Int64) async throws(EtcdError) -> Int64 {
    try await anywhere { endpoint, metadata, call in
      try await endpoint.lease.leaseGrant(
        .with { $0.ttl = seconds }, metadata: metadata, options: call
      ).id
    }
  }

  /// Ends a lease, and what is bound to it. One that has ended is ended.
  func revoke(_ lease: Int64) async throws(EtcdError) {
    do {
      _ = try await anywhere { endpoint, metadata, call in
        try await endpoint.lease.leaseRevoke(
          .with { $0.id = lease }, metadata: metadata, options: call)
      }
    } catch {
      if case .refused(.notFound, _) = error { return }
      throw error
    }
  }

  /// Renews a lease once.
  ///
  /// - Returns: Whether there is such a lease still.
  func renew(_ lease: Int64, within timeout: Duration) async throws(EtcdError) -> Bool {
    try await once(timeout: timeout) { endpoint, metadata, call in
      try await endpoint.lease.leaseKeepAlive(
        metadata: metadata, options: call,
        requestProducer: { try await $0.write(.with { $0.id = lease }) },
        onResponse: { response in
          for try await answer in response.messages { return answer.ttl > 0 }
          throw RPCError(code: .unavailable, message: "the stream ended without an answer")
        })
    }
  }
}

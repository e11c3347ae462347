import GRPCCore
import Synchronization

/// Counts the calls that a node answers, by method and status code, and how long they take.
///
/// Each method has an interceptor of its own, which knows what to count without a look-up.
package final class CallMetrics: Sendable {
  private let methods = Mutex<[MethodCounts]>([])
  private let clock: NodeClock

  package init(clock: NodeClock) { self.clock = clock }

  /// An interceptor for each method of `services`.
  package func interceptors(
    for services: [any RegistrableRPCService]
  ) -> [ConditionalInterceptor<any ServerInterceptor>] {
    let found = services.flatMap { Self.methods(of: $0) }.map(MethodCounts.init)
    methods.withLock { $0 += found }
    return found.map { counts in
      .apply(
        CallCounter(counts: counts, clock: clock),
        to: .allMatching {
          $0.service == counts.method.service && $0.method == counts.method.method
        })
    }
  }

  private static func methods(of service: any RegistrableRPCService) -> [MethodDescriptor] {
    var router = RPCRouter<NodeServer.Transport>()
    service.registerMethods(with: &router)
    return router.methods
  }

  /// Writes what was counted.
  package func write(to text: inout MetricsText) {
    let methods = methods.withLock { $0 }.sorted { $0.name < $1.name }
    text.begin(
      "cadastre_requests_total", .counter,
      "Calls that ended, by method and gRPC status code. Streams count when they end.")
    for counts in methods {
      for (code, counter) in zip(MethodCounts.codeNames, counts.codes)
      where code == "OK" || counter.value > 0 {
        text.sample(counter.value, ("method", counts.name), ("code", code))
      }
    }
    text.begin("cadastre_requests_in_flight", .gauge, "Calls under way, by method.")
    for counts in methods {
      text.sample(counts.started.value &- counts.endedCount, ("method", counts.name))
    }
    text.begin(
      "cadastre_request_duration_seconds", .histogram,
      "Time from a call's arrival to its last message, by method, of the methods that were called; "
        + "not of streams, which last for as long as somebody listens.")
    for counts in methods where !counts.isStream && counts.duration.reading.count > 0 {
      text.sample(counts.duration, ("method", counts.name))
    }
  }
}

/// What is counted of one method.
final class MethodCounts: Sendable {
  let method: MethodDescriptor
  /// As `cadastre.v1.CatalogReads/Resolve`.
  let name: String
  let isStream: Bool
  let started = Counter()
  /// By the number of the status code.
  let codes: [Counter]
  let duration = Histogram(
    upTo: [
      .microseconds(50), .microseconds(100), .microseconds(250), .microseconds(500),
      .milliseconds(1), .microseconds(2500), .milliseconds(5), .milliseconds(10),
      .milliseconds(25), .milliseconds(50), .milliseconds(100), .milliseconds(250),
      .milliseconds(500), .seconds(1), .milliseconds(2500), .seconds(5), .seconds(10),
    ])

  /// The names of gRPC's status codes, in the order of their numbers.
  static let codeNames = [
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
  ]

  init(_ method: MethodDescriptor) {
    self.method = method
    name = method.fullyQualifiedMethod
    isStream = method.type.map { $0 != .unary } ?? false
    codes = Self.codeNames.map { _ in Counter() }
  }

  var endedCount: UInt64 { codes.reduce(0) { $0 &+ $1.value } }

  /// Counts a call that ended: with OK, or with this error.
  func ended(_ error: (any Error)? = nil, after duration: Duration) {
    var code = 0
    if let error {
      code =
        switch error {
        case let error as RPCError: error.code.rawValue
        case let error as any RPCErrorConvertible: error.rpcErrorCode.rawValue
        // What is told to a caller whose call threw something else.
        default: RPCError.Code.unknown.rawValue
        }
    }
    codes[codes.indices.contains(code) ? code : RPCError.Code.unknown.rawValue].add()
    self.duration.observe(duration)
  }
}

/// Counts the calls of one method.
private struct CallCounter: ServerInterceptor {
  let counts: MethodCounts
  let clock: NodeClock

  func intercept<Input: Sendable, Output: Sendable>(
    request: StreamingServerRequest<Input>, context: ServerContext,
    next:
      @Sendable (StreamingServerRequest<Input>, ServerContext) async throws ->
      StreamingServerResponse<Output>
  ) async throws -> StreamingServerResponse<Output> {
    counts.started.add()
    let (counts, clock, start) = (counts, clock, clock.now())
    var response: StreamingServerResponse<Output>
    do {
      response = try await next(request, context)
    } catch {
      counts.ended(error, after: clock.now() - start)
      throw error
    }
    switch response.accepted {
    case .failure(let error): counts.ended(error, after: clock.now() - start)
    case .success(var contents):
      let producer = contents.producer
      contents.producer = { writer in
        do {
          let trailer = try await producer(writer)
          counts.ended(after: clock.now() - start)
          return trailer
        } catch {
          counts.ended(error, after: clock.now() - start)
          throw error
        }
      }
      response.accepted = .success(contents)
    }
    return response
  }
}

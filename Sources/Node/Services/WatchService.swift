import CadastreClient
import CadastreProtocol
import Catalog
import GRPCCore
import GRPCProtobuf
import Replay

/// Streams versions to watchers. A watcher is a cursor: what it has not read yet is taken from the
/// recent versions when it reads on, or from the log, so a stalled one holds up and fills up nothing.
///
/// Registered by hand, not by the generated protocol: what many watchers are to be told is encoded
/// once, so that the streams carry encoded messages.
package struct WatchService: RegistrableRPCService {
  private let core: NodeCore
  private let reader: AuditReader
  private let shared = SharedDeltas()

  package init(_ core: NodeCore) {
    self.core = core
    reader = core.store.auditReader()
  }

  package func registerMethods<Transport: ServerTransport>(
    with router: inout RPCRouter<Transport>
  ) {
    router.registerHandler(
      forMethod: Cadastre_V1_CatalogWatch.Method.Watch.descriptor,
      deserializer: ProtobufDeserializer<Wire.WatchRequest>(),
      serializer: EncodedMessageSerializer()
    ) { request, _ in
      let request = try await ServerRequest(stream: request)
      let timeout = request.metadata.callTimeout
      return StreamingServerResponse { writer in
        try await watch(request.message, timeout: timeout, to: writer)
        return [:]
      }
    }
  }

  private func watch(
    _ request: Wire.WatchRequest, timeout: Duration?, to writer: RPCWriter<EncodedMessage>
  ) async throws {
    let interval =
      request.progressIntervalMs == 0
      ? core.limits.progressInterval
      : max(.milliseconds(10), Duration(boundedMilliseconds: request.progressIntervalMs))
    let filter = try request.watchFilter()
    try await core.metrics.watchers.withPlace(at: core.store.current.version) { place in
      try await core.changes.withSubscription { subscription in
        var watcher = Watcher(
          core: core, reader: reader, shared: shared, subscription: subscription, writer: writer,
          filter: filter, interval: interval, place: place)
        try await withRPCCancellationHandler {
          try await watcher.run(
            from: request.hasFromVersion ? CatalogVersion(request.fromVersion) : nil,
            timeout: timeout)
        } onCancelRPC: {
          subscription.cancel()
        }
      }
    }
  }
}

extension Cadastre_V1_WatchRequest {
  fileprivate func watchFilter() throws(MalformedMessage) -> WatchFilter {
    switch filter {
    case .span(let span): .span(try span.value())
    case .groupID(let group): .group(GroupID(group))
    case nil: .all
    }
  }
}

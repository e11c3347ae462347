import CadastreClient
import Catalog
import GRPCCore

/// Decides who may call what: knows the callers by their tokens and certificates, and what each
/// method asks for.
package struct AccessControl: ServerInterceptor {
  private let identities: WatchedFiles<Identities>
  private let certificates: PeerCertificates?
  /// Whether what callers send is encrypted.
  private let isEncrypted: Bool
  private let allowsPlaintextTokens: Bool
  private let clock: NodeClock

  /// `certificates` are those of callers; nil where none are asked for.
  package init(
    _ identities: WatchedFiles<Identities>, certificates: PeerCertificates?, isEncrypted: Bool,
    allowsPlaintextTokens: Bool, clock: NodeClock
  ) {
    self.identities = identities
    self.certificates = certificates
    self.isEncrypted = isEncrypted
    self.allowsPlaintextTokens = allowsPlaintextTokens
    self.clock = clock
  }

  package func intercept<Input: Sendable, Output: Sendable>(
    request: StreamingServerRequest<Input>, context: ServerContext,
    next:
      @Sendable (StreamingServerRequest<Input>, ServerContext) async throws ->
      StreamingServerResponse<Output>
  ) async throws -> StreamingServerResponse<Output> {
    let access = MethodAccess.access(to: context.descriptor)
    if case .open = access { return try await next(request, context) }
    let caller = try authorize(
      try authenticate(request.metadata, peer: context.remotePeer), access, request.metadata,
      context.descriptor)
    return try await Caller.$current.withValue(caller) { try await next(request, context) }
  }

  // MARK: - Who it is

  private func authenticate(_ metadata: Metadata, peer: String) throws(NodeError) -> Caller {
    let now = clock.wallMilliseconds()
    var values = metadata[stringValues: "authorization"].makeIterator()
    if let value = values.next() {
      guard values.next() == nil else {
        throw unauthenticated("token_malformed", "there are several authorization headers")
      }
      let words = value.split(separator: " ", omittingEmptySubsequences: false)
      guard words.count == 2, words[0].lowercased() == "bearer" else {
        throw unauthenticated("token_malformed", "the authorization is no \"Bearer TOKEN\"")
      }
      guard isEncrypted || allowsPlaintextTokens || Self.isLoopback(peer) else {
        throw NodeError(
          .unauthenticated, reason: "token_in_plain_text",
          "the token came in plain text from another machine: take it for known to others",
          remedy: "exchange the token, and serve with --tls-cert and --tls-key")
      }
      switch identities.current.holder(ofToken: words[1], at: now) {
      case .known(let caller): return caller
      case .expired(let name):
        throw unauthenticated("token_expired", "the token of \(name) expired")
      case .unknown: throw unauthenticated("token_unknown", "the token is nobody's here")
      }
    }
    if let certificates,
      let header = metadata[stringValues: PeerCertificates.header].first(where: { _ in true }),
      let certificate = certificates.certificate(header)
    {
      switch identities.current.holder(of: certificate, at: now) {
      case .known(let caller): return caller
      case .expired(let name):
        throw unauthenticated(
          "certificate_expired", "the entry for the certificate of \(name) expired")
      case .unknown:
        throw unauthenticated(
          "certificate_unknown", "the certificate for \(certificate) is nobody's here")
      }
    }
    throw unauthenticated("token_missing", "nobody knows who asks: the call has no token")
  }

  private func unauthenticated(_ reason: String, _ message: String) -> NodeError {
    NodeError(
      .unauthenticated, reason: reason, message,
      remedy: "give a token with --token-file, or in the header `authorization: Bearer TOKEN`; "
        + "`cadastre token new` makes one, for the file that the node was given with --tokens")
  }

  // MARK: - What it may

  private func authorize(
    _ caller: Caller, _ access: Access?, _ metadata: Metadata, _ method: MethodDescriptor
  ) throws(NodeError) -> Caller {
    guard let access else {
      throw NodeError(
        .permissionDenied, reason: "method_without_role",
        "nobody may call \(method.fullyQualifiedMethod): it has no role yet",
        remedy: "enter it into the table of methods and roles")
    }
    var names = metadata[stringValues: CommandForwarding.onBehalfHeader].makeIterator()
    if let name = names.next() {
      guard caller.role == .learner else {
        throw NodeError(
          .permissionDenied, reason: "name_of_another",
          "\(caller.name) cannot ask in the name of \(name)",
          remedy:
            "leave out the header \(CommandForwarding.onBehalfHeader): a node of role learner sets it"
        )
      }
      guard names.next() == nil, IdentityFile.Line.isName(name), access.isPassedOn else {
        throw NodeError(
          .permissionDenied, reason: "name_of_another",
          "this call cannot be passed on in the name of \(name)",
          remedy: "pass on commands alone, in one name")
      }
      // Whether the caller may, the node that passes it on made sure of.
      return Caller(name: name, role: .operator, via: caller.name)
    }
    guard access.roles.contains(caller.role) else {
      let roles = AccessRole.allCases.filter(access.roles.contains).map(\.rawValue)
      throw NodeError(
        .permissionDenied, reason: "role_missing",
        "\(caller.name) is \(caller.role.rawValue): \(method.fullyQualifiedMethod) is for "
          + "\(roles.joined(separator: " or "))",
        remedy: caller.role == .learner
          ? "a node passes on what callers ask whom it knows: start it with --tokens"
          : "ask with a token of that role")
    }
    return caller
  }

  /// Whether a peer, as the transport writes its address, is this machine.
  static func isLoopback(_ peer: String) -> Bool {
    ["ipv4:127.", "ipv6:[::1]:", "ipv6:[::ffff:127."].contains { peer.hasPrefix($0) }
      || peer.hasPrefix("unix:")
  }
}

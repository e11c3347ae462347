import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import NIOCore
import NIOPosix
import NIOSSL
import TLSSupport
import Testing
import X509

@testable import Node

@Suite(.timeLimit(.minutes(5))) struct TLSTests {
  private let authority: TestAuthority
  private let secrets: SecretFolder
  /// The file with the authority's own certificate.
  private let trusted: String
  private let node: CertificateFiles

  init() throws {
    authority = try TestAuthority()
    secrets = try SecretFolder()
    trusted = try secrets.write(authority.certificate, to: "ca.pem")
    node = try secrets.write(authority.issue("node"), to: "node")
  }

  /// Runs a leader that serves TLS with the test's certificate.
  private func withSecureLeader(
    _ configure: (inout ServerSecurity) -> Void = { _ in },
    _ body: (TestNode) async throws -> Void
  ) async throws {
    try await withLeader { configuration in
      configuration.security.certificate = node
      configuration.security.lookInterval = .milliseconds(5)
      configure(&configuration.security)
      configuration.connection.security = .trusting(trusted)
    } _: {
      try await body($0)
    }
  }

  /// Why a call over a connection of its own fails; nil where it succeeds.
  private func problem(
    at address: NodeAddress, _ security: ClientSecurity
  ) async -> NodeError? {
    await refusal {
      try await withClient(of: address, security) { try await $0.status(deadline: .seconds(20)) }
    }
  }

  private func expect(
    _ reason: String, at address: NodeAddress, _ security: ClientSecurity,
    _ words: String = "", sourceLocation: SourceLocation = #_sourceLocation
  ) async {
    let error = await problem(at: address, security)
    #expect(error?.reason == reason, "\(String(describing: error))", sourceLocation: sourceLocation)
    #expect(error?.isUnreachable == true, sourceLocation: sourceLocation)
    #expect(error?.detail?.remedy.isEmpty == false, sourceLocation: sourceLocation)
    #expect(
      words.isEmpty || error?.message.contains(words) ?? false, "\(error?.message ?? "")",
      sourceLocation: sourceLocation)
  }

  @Test func callsAreEncrypted() async throws {
    try await withSecureLeader { node in
      try await node.client.submit(.test(oneRoute))
      let local = NodeAddress(host: "localhost", port: node.address.port)
      for address in [node.address, local] {
        let status = try await withClient(of: address, .trusting(trusted)) {
          try await $0.status()
        }
        #expect(status.version == CatalogVersion(1))
      }
    }
  }

  @Test func whatIsWrongWithAServerIsSaid() async throws {
    let stranger = try secrets.write(TestAuthority("stranger").certificate, to: "stranger.pem")
    try await withSecureLeader { node in
      await expect("certificate_not_trusted", at: node.address, .trusting(stranger))
      await expect("server_wants_tls", at: node.address, ClientSecurity())
      var named = ClientSecurity.trusting(trusted)
      named.serverName = "localhost"
      let right = await problem(at: node.address, named)
      #expect(right == nil)
    }
    // One for the address that is connected to would do, whatever name is expected.
    let elsewhere = try secrets.write(
      authority.issue("elsewhere", for: [.dnsName("elsewhere.example")]), to: "elsewhere")
    try await withSecureLeader {
      $0.certificate = elsewhere
    } _: { node in
      await expect(
        "certificate_for_other_host", at: node.address, .trusting(trusted),
        "is for elsewhere.example, not for 127.0.0.1")
    }
    try await withLeader { node in
      await expect("server_in_plain_text", at: node.address, .trusting(trusted))
    }
  }

  @Test func aCertificateOfAnotherTimeIsSaid() async throws {
    for (reason, from, until) in [
      ("certificate_expired", -7200.0, -60.0), ("certificate_not_yet_valid", 60, 7200),
    ] {
      let issued = try authority.issue("node", from: .now + from, until: .now + until)
      // A node would not serve with it.
      let context = try NIOSSLContext(
        configuration: .makeServerConfiguration(
          certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(issued.certificate.utf8))
            .map { .certificate($0) },
          privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(issued.key.utf8), format: .pem))
        ))
      let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
          }
        }
        .bind(host: "127.0.0.1", port: 0).get()
      let port = try #require(server.localAddress?.port)
      await expect(
        reason, at: NodeAddress(host: "127.0.0.1", port: port), .trusting(trusted))
      try await server.close()
    }
  }

  @Test func callersMayHaveToShowACertificate() async throws {
    let own = try secrets.write(
      authority.issue("router", for: [.dnsName("router.example")]), to: "own")
    let other = try secrets.write(TestAuthority("stranger").issue("mallory"), to: "other")
    try await withSecureLeader {
      $0.clientAuthority = trusted
      $0.requiresClientCertificate = true
    } _: { node in
      await expect("certificate_required", at: node.address, .trusting(trusted))
      await expect(
        "certificate_refused", at: node.address, .trusting(trusted, certificate: other))
      let right = await problem(at: node.address, .trusting(trusted, certificate: own))
      #expect(right == nil)
    }
    // Without the demand one is looked at where there is one.
    try await withSecureLeader {
      $0.clientAuthority = trusted
    } _: { node in
      let without = await problem(at: node.address, .trusting(trusted))
      #expect(without == nil)
      await expect(
        "certificate_refused", at: node.address, .trusting(trusted, certificate: other))
    }
  }

  @Test func filesThatAreOfNoUseAreRefusedAtTheStart() async throws {
    let other = try secrets.write(authority.issue("other"), to: "other")
    let old = try secrets.write(
      authority.issue("old", from: .now - 7200, until: .now - 60), to: "old")
    let noise = try secrets.write("no certificate", to: "noise.pem")
    var cases: [(String, ServerSecurity)] = []
    func add(_ reason: String, _ configure: (inout ServerSecurity) -> Void) {
      var security = ServerSecurity()
      configure(&security)
      cases.append((reason, security))
    }
    add("file_unreadable") {
      $0.certificate = CertificateFiles(certificate: secrets.path("none.pem"), key: node.key)
    }
    add("file_unreadable") {
      $0.certificate = CertificateFiles(
        certificate: node.certificate, key: secrets.path("none.key"))
    }
    add("certificate_malformed") {
      $0.certificate = CertificateFiles(certificate: noise, key: node.key)
    }
    add("key_malformed") {
      $0.certificate = CertificateFiles(certificate: node.certificate, key: noise)
    }
    add("key_mismatch") {
      $0.certificate = CertificateFiles(certificate: node.certificate, key: other.key)
    }
    add("certificate_expired") { $0.certificate = old }
    add("certificate_malformed") { ($0.certificate, $0.clientAuthority) = (node, noise) }
    add("tls_options") { $0.clientAuthority = trusted }
    add("tls_options") { ($0.certificate, $0.requiresClientCertificate) = (node, true) }
    add("identities_malformed") { $0.identities = noise }
    for (reason, security) in cases {
      let error = await refusal {
        try await withLeader {
          $0.security = security
        } _: { _ in
        }
      }
      #expect(error?.reason == reason)
      #expect(error?.detail?.remedy.isEmpty == false)
    }
  }

  @Test func newFilesAreTakenUpWithoutARestart() async throws {
    let next = try TestAuthority("next")
    let trustedNext = try secrets.write(next.certificate, to: "next.pem")
    try await withSecureLeader { node in
      // A connection that is there stays.
      try await node.client.submit(.test(oneRoute))
      // One file at a time, and in between they do not belong together.
      let issued = try next.issue("node")
      try secrets.write(issued.certificate, to: "node.pem")
      try secrets.write("garbage", to: "node.key")
      for _ in 0..<20 {
        let before = await problem(at: node.address, .trusting(trusted))
        #expect(before == nil)
      }
      try secrets.write(issued.key, to: "node.key")
      try await until { await problem(at: node.address, .trusting(trustedNext)) == nil }
      await expect("certificate_not_trusted", at: node.address, .trusting(trusted))
      try await node.client.submit(.test(split("m")))
    }
  }

  @Test func aClientTakesUpNewFilesToo() async throws {
    let caller = try secrets.write(TestAuthority("stranger").issue("router"), to: "caller")
    try await withSecureLeader {
      $0.clientAuthority = trusted
      $0.requiresClientCertificate = true
    } _: { node in
      try await withClient(of: node.address, .trusting(trusted, certificate: caller)) { client in
        let refused = await refusal { try await client.status() }
        #expect(refused?.reason == "certificate_refused")
        try secrets.write(authority.issue("router"), to: "caller")
        try await until { await refusal { try await client.status() } == nil }
      }
    }
  }

  @Test func watchedFilesAreReadWhenTheyChange() throws {
    let path = try secrets.write("one", to: "watched")
    let file = try WatchedFiles([path]) { () throws(NodeError) in
      let text = String(decoding: try contents(of: path, "the file"), as: UTF8.self)
      guard text != "bad" else { throw NodeError(.invalidArgument, "bad") }
      return text
    }
    func look() -> String {
      switch file.look() {
      case .unchanged: "unchanged"
      case .loaded: "loaded"
      case .failed: "failed"
      }
    }
    #expect(look() == "unchanged")
    try secrets.write("two", to: "watched")
    #expect(look() == "loaded")
    #expect(file.current == "two")
    try secrets.write("bad", to: "watched")
    // Told once.
    #expect(look() == "failed")
    #expect(look() == "unchanged")
    #expect(file.current == "two")
    try FileManager.default.removeItem(atPath: path)
    #expect(look() == "failed")
    try secrets.write("three", to: "watched")
    #expect(look() == "loaded")
    #expect(file.current == "three")
  }

  @Test func plainTextStaysOnThisMachineUnlessTold() throws {
    var configuration = NodeConfiguration(
      role: .leader, folder: "", listen: NodeAddress(host: "0.0.0.0", port: 0))
    func reason() -> String? {
      do throws(NodeError) {
        try configuration.check()
        return nil
      } catch {
        return error.reason
      }
    }
    #expect(reason() == "insecure_bind")
    configuration.security.identities = "tokens"
    configuration.allowInsecureBind = true
    #expect(reason() == "token_in_plain_text")
    configuration.security.allowsPlaintextTokens = true
    #expect(reason() == nil)
    configuration.security = ServerSecurity()
    #expect(reason() == nil)
    configuration.allowInsecureBind = false
    configuration.security.certificate = node
    #expect(reason() == nil)
  }
}

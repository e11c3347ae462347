import CadastreClient
import Catalog
import Foundation
import Replay
import StateMachines
import TestSupport
import TLSSupport
import Testing
import X509

@testable import Node

/// The client library against nodes that ask who it is.
@Suite(.timeLimit(.minutes(5))) struct CatalogClientSecurityTests {
  private let authority: TestAuthority
  private let secrets: SecretFolder
  private let trusted: String
  private let certificate: CertificateFiles

  init() throws {
    authority = try TestAuthority()
    secrets = try SecretFolder()
    trusted = try secrets.write(authority.certificate, to: "ca.pem")
    certificate = try secrets.write(authority.issue("node"), to: "node")
  }

  /// A token, and the line that lets its holder in.
  private func token(_ name: String, _ role: AccessRole) -> (text: String, line: String) {
    let token = Token.random()
    return (
      token.text, "\(IdentityFile.Line(name: name, role: role, credential: token.credential))\n"
    )
  }

  private func client(
    _ endpoints: [NodeAddress], _ security: ClientSecurity,
    _ change: (inout CatalogClient.Options) -> Void = { _ in }
  ) throws -> CatalogClient {
    try CatalogClient(
      nodes: endpoints.map { CatalogEndpoint($0) },
      try .quick {
        $0.connection.security = security
        change(&$0)
      }, generator: SeededGenerator(seed: 1))
  }

  /// What a client's call was refused with.
  private func refusal(
    _ call: () async throws -> some Any
  ) async throws -> CatalogClientError? {
    do {
      _ = try await call()
      return nil
    } catch let error as CatalogClientError { return error }
  }

  private func lastActor(_ node: TestNode) throws -> String? {
    let last = node.core.store.current.appliedThrough
    return try node.core.store.entries(from: last, maxCount: 1).first?.entry.actor
  }

  @Test func callsAndWatchesAreEncrypted() async throws {
    try await withLeader {
      $0.security.certificate = certificate
      $0.connection.security = .trusting(trusted)
    } _: { leader in
      let named = NodeAddress(host: "localhost", port: leader.address.port)
      let client = try client([leader.address, named], .trusting(trusted))
      try await client.whileRunning { client in
        let made = try await client.submit(client.command(firstRoutes))
        try await until { client.version == made.version && client.staleness != nil }
        #expect(client.owner(of: Key("zoo"))?.group == GroupID(2))
        try await until { client.status.lastError == "" && client.status.watched != nil }
      }
    }
  }

  /// Who a client does not trust is never told anything, and it says why it has no routes.
  @Test func aNodeThatIsNotTrustedIsLeftForOneThatIs() async throws {
    let other = try TestAuthority("other")
    let foreign = try secrets.write(other.issue("node"), to: "foreign")
    let foreignTrust = try secrets.write(other.certificate, to: "other.pem")
    try await withLeader {
      $0.security.certificate = foreign
      $0.connection.security = .trusting(foreignTrust)
    } _: { stranger in
      let alone = try client([stranger.address], .trusting(trusted)) {
        $0.retry.deadline = .milliseconds(500)
      }
      try await alone.whileRunning { client in
        try await until {
          // Before the first handshake has failed nobody knows why nothing comes.
          let error = try await refusal { try await client.resolve(Key("a")) }
          guard error?.reason == "certificate_not_trusted" else { return false }
          return error?.kind == .unavailable && error?.remedy.isEmpty == false
        }
        try await until { client.status.lastError.contains("signed by nobody who is trusted") }
        // It counts as one that is not there.
        try await until { client.status.ejected.map(\.address) == [stranger.address] }
      }
      try await withLeader {
        $0.security.certificate = certificate
        $0.connection.security = .trusting(trusted)
      } _: { leader in
        try await leader.client.submit(.test(bootstrap("m")))
        let client = try client([stranger.address, leader.address], .trusting(trusted))
        try await client.whileRunning { client in
          try await until { client.owner(of: Key("zoo"))?.group == GroupID(2) }
          #expect(client.status.watched?.address == leader.address)
          #expect(try await client.resolve(Key("a")).value.group == GroupID(1))
        }
      }
    }
  }

  /// A certificate is what a node knows the client by; a new one is taken up without a new client.
  @Test func aCertificateLetsTheClientIn() async throws {
    let alice = try secrets.write(
      authority.issue("alice", for: [.dnsName("alice.example")]), to: "alice")
    let mallory = try secrets.write(authority.issue("mallory", for: []), to: "caller")
    let tokens = try secrets.write("alice operator san:alice.example\n", to: "tokens")
    try await withLeader {
      $0.security.certificate = certificate
      $0.security.clientAuthority = trusted
      $0.security.requiresClientCertificate = true
      $0.security.identities = tokens
      $0.connection.security = .trusting(trusted, certificate: alice)
    } _: { leader in
      let known = try client([leader.address], .trusting(trusted, certificate: alice))
      try await known.whileRunning { client in
        let made = try await client.submit(client.command(firstRoutes))
        try await until { client.version == made.version }
        #expect(try lastActor(leader) == "alice")
      }
      // One that the authority signed, and that is nobody's.
      let unknown = try client([leader.address], .trusting(trusted, certificate: mallory))
      try await unknown.whileRunning { client in
        let error = try await refusal { try await client.submit(client.command(firstRoutes)) }
        #expect(error?.kind == .denied && error?.reason == "certificate_unknown")
        try await until { client.status.lastError.contains("cn:mallory") }
        #expect(client.version == nil)
        try secrets.write(
          "alice operator san:alice.example\nmallory reader cn:mallory\n", to: "tokens")
        try await until { client.version == CatalogVersion(1) }
      }
      let none = try client([leader.address], .trusting(trusted)) {
        $0.retry.deadline = .milliseconds(500)
      }
      try await none.whileRunning { client in
        try await until {
          try await refusal { try await client.resolve(Key("a")) }?.reason == "certificate_required"
        }
      }
    }
  }

  /// A token of a file is exchanged while the client runs: calls and the watch go on with the new one.
  @Test func aTokenIsExchangedUnderTheClient() async throws {
    let (old, new, reader) = (
      token("alice", .operator), token("alice", .operator), token("rita", .reader)
    )
    let tokens = try secrets.write(old.line + reader.line, to: "tokens")
    let file = try secrets.write(old.text + "\n", to: "alice.token")
    var security = ClientSecurity.trusting(trusted)
    security.token = .file(file)
    try await withLeader {
      $0.security.certificate = certificate
      $0.security.identities = tokens
      $0.security.lookInterval = .milliseconds(5)
      $0.connection.security = .trusting(trusted, token: reader.text)
    } _: { leader in
      let client = try client([leader.address], security)
      try await client.whileRunning { client in
        let made = try await client.submit(client.command(firstRoutes))
        // Whatever name the command says.
        #expect(try lastActor(leader) == "alice")
        try await until { client.version == made.version }
        try secrets.write(new.line + reader.line, to: "tokens")
        let demand = ReadDemand(minimumVersion: CatalogVersion(2))
        try await until {
          let error = try await refusal {
            try await client.resolve(Key("a"), demand, deadline: .milliseconds(100))
          }
          return error?.reason == "token_unknown" && error?.kind == .denied
        }
        try secrets.write(new.text + "\n", to: "alice.token")
        let cut = try await client.submit(client.command(.split([SplitRequest(at: Key("c"))])))
        try await until { client.version == cut.version }
      }
      // A reader is told what is missing, at once.
      security.token = .text(reader.text)
      let rita = try self.client([leader.address], security)
      try await rita.whileRunning { client in
        try await until { client.version == CatalogVersion(2) }
        let error = try await refusal {
          try await client.submit(client.command(.split([SplitRequest(at: Key("x"))])))
        }
        #expect(error?.kind == .denied && error?.reason == "role_missing")
      }
    }
  }

  /// Each node has a file of its own: where one does not know the client yet another may.
  @Test func aNodeThatDoesNotKnowTheClientIsLeftForOneThatDoes() async throws {
    let (alice, tokyo) = (token("alice", .operator), token("tokyo-1", .learner))
    let (here, there) = (
      try secrets.write(alice.line + tokyo.line, to: "here"),
      try secrets.write(tokyo.line, to: "there")
    )
    let folder = TemporaryFolder()
    try await withLeader {
      $0.security.identities = here
      $0.connection.security = .token(tokyo.text)
    } _: { leader in
      let learner = try await TestNode(
        .learner(of: leader.address), folder: folder.appending("learner"), region: "tokyo"
      ) {
        $0.security.identities = there
        $0.security.lookInterval = .milliseconds(5)
        $0.connection.security = .token(tokyo.text)
      }
      try await withNode(learner) { learner in
        let home = try Region("tokyo")
        let client = try CatalogClient(
          nodes: [
            CatalogEndpoint(learner.address, region: home), CatalogEndpoint(leader.address),
          ], try .quick("tokyo") { $0.connection.security = .token(alice.text) },
          generator: SeededGenerator(seed: 2))
        try await client.whileRunning { client in
          let made = try await client.submit(client.command(firstRoutes))
          try await until { client.version == made.version }
          #expect(client.status.watched?.address == leader.address)
          // Once home knows it, home is watched, and passes on what it asks in its name.
          try secrets.write(tokyo.line + alice.line, to: "there")
          try await until { client.status.watched?.region == home }
        }
        let near = try CatalogClient(
          nodes: [CatalogEndpoint(learner.address)],
          try .quick { $0.connection.security = .token(alice.text) },
          generator: SeededGenerator(seed: 3))
        try await near.whileRunning { client in
          let cut = try await client.submit(client.command(.split([SplitRequest(at: Key("c"))])))
          #expect(try lastActor(leader) == "alice")
          try await until { client.version == cut.version }
        }
      }
    }
    withExtendedLifetime(folder) {}
  }

  @Test func aTokenDoesNotLeaveTheMachineInPlainText() throws {
    var options = CatalogClient.Options()
    options.connection.security.token = .text("secret")
    do throws(CatalogClientError) {
      _ = try CatalogClient(
        nodes: [CatalogEndpoint(NodeAddress(host: "192.0.2.1", port: 4711))], options)
      Issue.record("a client was made")
    } catch {
      #expect(error.kind == .invalid && error.reason == "token_in_plain_text")
    }
  }
}

import CadastreClient
import Catalog
import Crypto
import EtcdSupport
import Foundation
import Replay
import Synchronization
import TLSSupport
import Testing

@testable import Etcd

/// Servers that encrypt, and that ask who calls.
extension EtcdStreamTests {
  private static let user = EtcdUser(name: "cadastre", password: "right")

  /// Makes a stream, leads, appends, and is told of both.
  private func expectUse(of bench: Bench) async throws {
    let stream = bench.stream
    try await stream.create(StreamEntries.catalog, after: Self.origin)
    let lead = try await stream.campaign(Self.member)
    let follower = Follower(stream)
    try await append(bench.entries[0..<3], after: Self.origin, in: lead.term, to: stream)
    let middle = tail(bench.entries[2])
    try await append(bench.entries[3..<8], after: middle, in: lead.term, to: stream)
    #expect(try await stream.tail() == tail(bench.entries[7]))
    #expect(try await follower.next(8) == Array(bench.entries[0..<8]))
    #expect(try await leader(of: stream)?.term == lead.term)
    await lead.resign()
  }

  /// Who leads, as who watches is told first.
  private func leader(of stream: EtcdStream) async throws -> LeaderRecord? {
    let (records, output) = AsyncStream<LeaderRecord?>.makeStream()
    let watching = Task { try await stream.watchLeader { output.yield($0) } }
    defer { watching.cancel() }
    for await record in records { return record }
    return nil
  }

  /// What a client of its own is told; nil where it may read.
  private func problem(
    at endpoints: [String], _ change: (inout EtcdOptions) -> Void
  ) async throws -> SharedStreamError? {
    var options = EtcdOptions(endpoints: try endpoints.map { try NodeAddress($0) })
    change(&options)
    let client = try EtcdClient(options)
    client.start()
    do throws(SharedStreamError) {
      _ = try await EtcdStream(client, cluster: "test").catalog()
      return nil
    } catch {
      return error
    }
  }

  /// What a client is told that cannot agree with the servers on a connection, and what to do then.
  private struct Mistrust: Sendable {
    var endpoints: [String]
    var security: ClientSecurity
    var problem: String
    var remedy: String
  }

  private func expect(_ cases: [Mistrust]) async throws {
    // All at once: one server is waited for as long as a call may take.
    try await withThrowingTaskGroup(of: Void.self) { group in
      for mistrust in cases {
        group.addTask {
          let error = try await problem(at: mistrust.endpoints) {
            $0.connection.security = mistrust.security
          }
          guard case .untrusted(let problem, let remedy) = error else {
            Issue.record("\(mistrust.problem): \(String(describing: error))")
            return
          }
          #expect(problem.contains(mistrust.problem))
          #expect(remedy.contains(mistrust.remedy))
        }
      }
      try await group.waitForAll()
    }
  }

  @Test(.timeLimit(.minutes(5))) func connectionsMayBeEncrypted() async throws {
    let files = try TestCertificates()
    try await with(encryption: EtcdServers.Encryption(files)) {
      $0.connection.security = .trusting(files.authority)
    } _: { bench in
      try await expectUse(of: bench)
    }
  }

  @Test(.timeLimit(.minutes(5))) func whoDoesNotTrustTheServersIsToldWhy() async throws {
    let files = try TestCertificates()
    let encrypted = try EtcdServers(encryption: EtcdServers.Encryption(files))
    let plain = try EtcdServers()
    let stranger = ClientSecurity.trusting(try files.stranger())
    let untrusted = "is signed by nobody who is trusted here"
    try await expect([
      Mistrust(
        endpoints: encrypted.endpoints, security: stranger, problem: untrusted,
        remedy: "--etcd-ca"),
      // Nobody listens at the first.
      Mistrust(
        endpoints: ["127.0.0.2:\(encrypted.clientPorts[0])"] + encrypted.endpoints,
        security: stranger, problem: untrusted, remedy: "--etcd-ca"),
      Mistrust(
        endpoints: encrypted.endpoints, security: ClientSecurity(), problem: "it may speak TLS",
        remedy: "--etcd-ca"),
      Mistrust(
        endpoints: plain.endpoints, security: .trusting(files.authority),
        problem: "in the middle of the handshake", remedy: "leave out --etcd-ca"),
    ])
  }

  @Test(.timeLimit(.minutes(5))) func serversMayAskForACertificate() async throws {
    let files = try TestCertificates()
    let other = try files.secrets.write(TestAuthority("stranger").issue("mallory"), to: "other")
    try await with(encryption: EtcdServers.Encryption(files, asksForCertificate: true)) {
      $0.connection.security = .trusting(files.authority, certificate: files.client)
    } _: { bench in
      try await expect(
        [nil, other].map {
          Mistrust(
            endpoints: bench.servers.endpoints,
            security: .trusting(files.authority, certificate: $0),
            problem: "refuses this client's certificate", remedy: "--etcd-cert")
        })
      try await expectUse(of: bench)
    }
  }

  @Test(.timeLimit(.minutes(5))) func aUserNeedsNoMoreThanItsPrefix() async throws {
    try await with {
      $0.user = Self.user
    } _: { bench in
      // Before anybody is asked who they are, and then on.
      #expect(try await bench.stream.catalog() == nil)
      #expect(bench.client.credential.withLock { $0 } == .notNeeded)
      try bench.servers.enableUsers(
        Self.user.name, password: Self.user.password, prefix: "/cadastre/")
      try await expectUse(of: bench)
    }
  }

  @Test(.timeLimit(.minutes(5))) func whoeverIsNoUserIsRefused() async throws {
    try await with {
      $0.user = EtcdUser(name: Self.user.name, password: "wrong")
    } _: { bench in
      try bench.servers.enableUsers(
        Self.user.name, password: Self.user.password, prefix: "/elsewhere/")
      func expect(_ words: String, _ user: EtcdUser?) async throws {
        let error = try await problem(at: bench.servers.endpoints) { $0.user = user }
        guard case .refused(let message) = error else {
          Issue.record("\(String(describing: error))")
          return
        }
        #expect(message.contains(words), "\(message)")
      }
      try await expect("invalid user ID or password", bench.client.options.user)
      try await expect("user name is empty", nil)
      try await expect("permission denied", Self.user)
      // Nobody waits for what does not come.
      let waits: [@Sendable (EtcdStream) async throws -> Void] = [
        { _ = try await $0.campaign(Self.member) },
        { try await $0.watchLeader { _ in } },
        { try await $0.follow(after: LogPosition(0)) { _ in } },
      ]
      for wait in waits {
        await #expect {
          try await wait(bench.stream)
        } throws: { error in
          if case SharedStreamError.refused(_) = error { true } else { false }
        }
      }
    }
  }

  /// etcd forgets those that nobody uses for five minutes, and where it starts from a snapshot all
  /// that were given out before: from its log it would give out the same again.
  @Test(.timeLimit(.minutes(5))) func aTokenThatIsForgottenIsRenewed() async throws {
    try await with(flags: ["--snapshot-count", "1"]) {
      $0.user = Self.user
      $0.leaseSeconds = 30
    } _: { bench in
      let (servers, stream) = (bench.servers, bench.stream)
      try servers.enableUsers(Self.user.name, password: Self.user.password, prefix: "/cadastre/")
      try await stream.create(StreamEntries.catalog, after: Self.origin)
      let lead = try await stream.campaign(Self.member)
      let follower = Follower(stream)
      try await append(bench.entries[0..<1], after: Self.origin, in: lead.term, to: stream)
      #expect(try await follower.next(1) == Array(bench.entries[0..<1]))
      let old = bench.client.credential.withLock { $0 }
      servers.kill(0)
      try servers.start(0)
      try servers.untilServing(0)
      let before = tail(bench.entries[0])
      try await append(bench.entries[1..<4], after: before, in: lead.term, to: stream)
      #expect(try await follower.next(3) == Array(bench.entries[1..<4]))
      #expect(bench.client.credential.withLock { $0 } != old)
      await lead.resign()
    }
  }

  /// Tokens that say themselves how long they are good, and as of which users.
  @Test(.timeLimit(.minutes(5))) func aTokenThatIsOldIsRenewed() async throws {
    let secrets = try SecretFolder()
    let key = P256.Signing.PrivateKey()
    let files = (
      try secrets.write(key.publicKey.pemRepresentation, to: "tokens.pub"),
      try secrets.write(key.pemRepresentation, to: "tokens.key")
    )
    let tokens = "jwt,pub-key=\(files.0),priv-key=\(files.1),sign-method=ES256"
    for life in ["1h", "1s"] {
      try await with(flags: ["--auth-token", "\(tokens),ttl=\(life)"]) {
        $0.user = Self.user
        $0.leaseSeconds = 30
      } _: { bench in
        let (servers, stream) = (bench.servers, bench.stream)
        let administrator = try servers.enableUsers(
          Self.user.name, password: Self.user.password, prefix: "/cadastre/")
        try await stream.create(StreamEntries.catalog, after: Self.origin)
        let lead = try await stream.campaign(Self.member)
        let follower = Follower(stream)
        try await append(bench.entries[0..<1], after: Self.origin, in: lead.term, to: stream)
        #expect(try await follower.next(1) == Array(bench.entries[0..<1]))
        let old = bench.client.credential.withLock { $0 }
        if life == "1h" {
          try servers.addUser("other", by: administrator)
        } else {
          try await Task.sleep(for: .seconds(2))
        }
        let before = tail(bench.entries[0])
        try await append(bench.entries[1..<4], after: before, in: lead.term, to: stream)
        #expect(try await follower.next(3) == Array(bench.entries[1..<4]))
        #expect(bench.client.credential.withLock { $0 } != old)
        await lead.resign()
      }
    }
  }
}

extension EtcdServers.Encryption {
  fileprivate init(_ files: TestCertificates, asksForCertificate: Bool = false) {
    self.init(
      certificate: files.server.certificate, key: files.server.key,
      clientAuthority: asksForCertificate ? files.authority : nil)
  }
}

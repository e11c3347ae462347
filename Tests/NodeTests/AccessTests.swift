import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Replay
import StateMachines
import SwiftProtobuf
import TLSSupport
import Testing
import X509

@testable import Node

@Suite(.timeLimit(.minutes(5))) struct AccessTests {
  private let secrets: SecretFolder

  init() throws { secrets = try SecretFolder() }

  /// Every method of every service that there is.
  private static let methods: [MethodDescriptor] = ProtoFiles.descriptors.flatMap { text in
    let set = Data(base64Encoded: text).flatMap {
      try? Google_Protobuf_FileDescriptorSet(serializedBytes: $0)
    }
    return (set?.file ?? []).flatMap { file in
      file.service.flatMap { service in
        service.method.map {
          MethodDescriptor(
            fullyQualifiedService: "\(file.package).\(service.name)", method: $0.name)
        }
      }
    }
  }

  /// Makes an identity in the file `tokens`, and its token.
  @discardableResult
  private func admit(
    _ name: String, _ role: AccessRole, expiry: UInt64? = nil
  ) throws -> String {
    let token = Token.random()
    try admit(
      IdentityFile.Line(
        name: name, role: role, credential: token.credential, expiry: expiry))
    return token.text
  }

  private func admit(_ line: IdentityFile.Line) throws {
    let before = (try? String(contentsOfFile: secrets.path("tokens"), encoding: .utf8)) ?? ""
    try secrets.write(before + "\(line)\n", to: "tokens")
  }

  private func withGuardedLeader(
    _ body: (TestNode) async throws -> Void
  ) async throws {
    try await withLeader { configuration in
      configuration.security.identities = secrets.path("tokens")
      configuration.security.lookInterval = .milliseconds(5)
    } _: {
      try await body($0)
    }
  }

  private func submit(
    _ command: Command, at node: TestNode, _ security: ClientSecurity,
    onBehalfOf name: String? = nil
  ) async throws {
    _ = try await withClient(of: node.address, security) {
      try await $0.submit(command, onBehalfOf: name)
    }
  }

  /// The author of the newest entry.
  private func lastActor(_ node: TestNode) throws -> String? {
    let last = node.core.store.current.appliedThrough
    return try node.core.store.entries(from: last, maxCount: 1).first?.entry.actor
  }

  // MARK: - The table

  @Test func everyMethodHasAnAccess() {
    #expect(Self.methods.count > 30)
    for method in Self.methods {
      #expect(
        MethodAccess.access(to: method) != nil,
        "\(method): enter it into MethodAccess, under what it does")
    }
    #expect(
      MethodAccess.access(to: MethodDescriptor(fullyQualifiedService: "a", method: "b")) == nil)
  }

  @Test func eachMethodIsForItsRolesAlone() async throws {
    let tokens = try AccessRole.allCases.map { ($0, try admit($0.rawValue, $0)) }
    try await withGuardedLeader { node in
      for method in Self.methods {
        let access = try #require(MethodAccess.access(to: method))
        var call = RawCall(method)
        if case .open = access {} else { call.patience = .seconds(20) }
        let stranger = await call.send([[]], to: node.address, ClientSecurity())
        if case .open = access {
          #expect(stranger.code != .unauthenticated, "\(method)")
        } else {
          #expect(stranger.code == .unauthenticated, "\(method)")
          #expect(stranger.reason == "token_missing", "\(method)")
        }
        for (role, token) in tokens {
          let outcome = await RawCall(method).send([[]], to: node.address, .token(token))
          #expect(
            (outcome.code == .permissionDenied) == !access.roles.contains(role),
            "\(method), \(role)")
          if outcome.code == .permissionDenied {
            #expect(outcome.reason == "role_missing")
            #expect(outcome.remedy?.isEmpty == false)
          }
        }
      }
    }
  }

  // MARK: - Who it is

  @Test func tokensAreKnownByTheirDigests() throws {
    let (old, new, other) = (Token.random(), Token.random(), Token.random())
    #expect(Set([old.text, new.text, other.text]).count == 3)
    let identities = Identities(
      try IdentityFile(
        """
        # Two at once, while they are exchanged.
        alice operator \(old.credential) 2026-01-01T00:00:00Z
        alice operator \(new.credential)   # the new one

        """, file: "tokens"))
    let expiry: UInt64 = 1_767_225_600_000
    #expect(identities.count == 2)
    let alice = Identities.Match.known(Caller(name: "alice", role: .operator))
    #expect(identities.holder(ofToken: old.text, at: expiry - 1) == alice)
    #expect(identities.holder(ofToken: old.text, at: expiry) == .expired(name: "alice"))
    #expect(identities.holder(ofToken: new.text, at: expiry) == alice)
    #expect(identities.holder(ofToken: other.text, at: expiry) == .unknown)
    #expect(identities.holder(ofToken: "", at: expiry) == .unknown)
    #expect(identities.holder(ofToken: new.text + " ", at: expiry) == .unknown)
  }

  @Test func certificatesAreKnownByTheirNames() throws {
    let identities = Identities(
      try IdentityFile(
        """
        tokyo-1 learner san:tokyo-1.example
        probe reader cn:probe
        """, file: "tokens"))
    func holder(_ name: String?, _ names: [String]) -> Identities.Match {
      identities.holder(
        of: PeerCertificate(commonName: name, alternativeNames: names), at: 0)
    }
    let tokyo = Identities.Match.known(Caller(name: "tokyo-1", role: .learner))
    #expect(holder(nil, ["a.example", "tokyo-1.example"]) == tokyo)
    #expect(holder("probe", ["a.example"]) == .known(Caller(name: "probe", role: .reader)))
    // A name of the one kind is none of the other.
    #expect(holder("tokyo-1.example", ["probe"]) == .unknown)
    #expect(holder(nil, []) == .unknown)
  }

  @Test func malformedFilesOfIdentitiesAreRefused() {
    let digest = String(repeating: "ab", count: 32)
    for (text, line, words) in [
      ("alice operator", 1, "2 words"),
      ("\nalice operator sha256:\(digest) 2027-01-01T00:00:00Z more", 2, "5 words"),
      ("al*ce operator sha256:\(digest)", 1, "is no name"),
      ("\(String(repeating: "a", count: 65)) operator sha256:\(digest)", 1, "is no name"),
      ("alice king sha256:\(digest)", 1, "reader, operator, learner"),
      ("alice operator \(digest)", 1, "is no credential"),
      ("alice operator sha256:ab", 1, "64 hexadecimal digits"),
      ("alice operator md5:ab", 1, "no kind of credential"),
      ("alice operator cn:", 1, "is no credential"),
      ("alice operator cn:a tomorrow", 1, "is no time"),
      ("alice operator cn:a\nalice reader cn:b", 2, "is operator further up"),
      ("alice operator cn:a\nbob reader cn:a", 2, "on another line"),
    ] {
      do throws(NodeError) {
        let file = try IdentityFile(text, file: "tokens")
        Issue.record("\(text) was read as \(file)")
      } catch {
        #expect(error.reason == "identities_malformed")
        #expect(error.message.hasPrefix("tokens, line \(line): "), "\(error.message)")
        #expect(error.message.contains(words), "\(error.message)")
      }
    }
  }

  @Test func wrongCredentialsAreRefusedWithTheReason() async throws {
    let expired = try admit("alice", .operator, expiry: 1000)
    try await withGuardedLeader { node in
      for (token, reason) in [
        (expired, "token_expired"), (Token.random().text, "token_unknown"), ("x", "token_unknown"),
      ] {
        let error = await refusal {
          try await withClient(of: node.address, .token(token)) { try await $0.status() }
        }
        #expect(error?.code == .unauthenticated)
        #expect(error?.reason == reason)
        #expect(error?.detail?.remedy.contains("cadastre token new") == true)
      }
      let status = Cadastre_V1_CatalogReads.Method.GetStatus.descriptor
      for headers in [["Basic abc"], ["Bearer"], ["Bearer a b"], ["Bearer a", "Bearer b"], [""]] {
        var call = RawCall(status)
        for header in headers { call.metadata.addString(header, forKey: "authorization") }
        let outcome = await call.send([[]], to: node.address, ClientSecurity())
        #expect(outcome.code == .unauthenticated, "\(headers)")
        #expect(outcome.reason == "token_malformed", "\(headers)")
      }
    }
  }

  @Test func newIdentitiesAreTakenUpWithoutARestart() async throws {
    let alice = try admit("alice", .reader)
    try await withGuardedLeader { node in
      func problem(_ token: String) async -> String? {
        await refusal {
          try await withClient(of: node.address, .token(token)) { try await $0.status() }
        }?.reason
      }
      #expect(await problem(alice) == nil)
      let before = try String(contentsOfFile: secrets.path("tokens"), encoding: .utf8)
      try secrets.write("alice king\n", to: "tokens")
      for _ in 0..<10 { #expect(await problem(alice) == nil) }
      try secrets.write(before, to: "tokens")
      let bob = try admit("bob", .reader)
      try await until { await problem(bob) == nil }
      try secrets.write("", to: "tokens")
      try await until { await problem(alice) == "token_unknown" }
    }
  }

  @Test func certificatesLetCallersIn() async throws {
    let authority = try TestAuthority()
    let trusted = try secrets.write(authority.certificate, to: "ca.pem")
    let certificate = try secrets.write(authority.issue("node"), to: "node")
    let alice = try secrets.write(
      authority.issue("somebody", for: [.dnsName("alice.example")]), to: "alice")
    let bob = try secrets.write(authority.issue("bob", for: []), to: "bob")
    let stranger = try secrets.write(authority.issue("mallory"), to: "mallory")
    try secrets.write("alice operator san:alice.example\nbob reader cn:bob\n", to: "tokens")
    let carol = try admit("carol", .operator)
    try await withLeader { configuration in
      configuration.security.certificate = certificate
      configuration.security.clientAuthority = trusted
      configuration.security.identities = secrets.path("tokens")
      configuration.connection.security = .trusting(trusted, certificate: alice)
    } _: { node in
      try await node.client.submit(.test(oneRoute))
      #expect(try lastActor(node) == "alice")
      let read = Cadastre_V1_CatalogReads.Method.GetStatus.descriptor
      let write = Cadastre_V1_CatalogCommands.Method.Split.descriptor
      func outcome(_ method: MethodDescriptor, _ security: ClientSecurity) async -> RawCall.Outcome
      {
        var call = RawCall(method)
        // The number of another's connection is of no use to anybody.
        call.metadata.addString("1", forKey: PeerCertificates.header)
        return await call.send([[]], to: node.address, security)
      }
      let asBob = ClientSecurity.trusting(trusted, certificate: bob)
      #expect(await outcome(read, asBob).code == nil)
      #expect(await outcome(write, asBob).reason == "role_missing")
      let asMallory = await outcome(read, .trusting(trusted, certificate: stranger))
      #expect(asMallory.reason == "certificate_unknown")
      #expect(asMallory.message.contains("cn:mallory"))
      #expect(await outcome(read, .trusting(trusted)).reason == "token_missing")
      // A token counts for more than a certificate.
      try await submit(
        .test(split("m")), at: node, .trusting(trusted, certificate: bob, token: carol))
      #expect(try lastActor(node) == "carol")
    }
  }

  // MARK: - In whose name

  @Test func whoAsksIsTheAuthor() async throws {
    let (alice, rita) = (try admit("alice", .operator), try admit("rita", .reader))
    try await withGuardedLeader { node in
      // The command says another.
      try await submit(.test(oneRoute), at: node, .token(alice))
      #expect(try lastActor(node) == "alice")
      let forged = await refusal {
        try await submit(.test(split("m")), at: node, .token(alice), onBehalfOf: "bob")
      }
      #expect(forged?.code == .permissionDenied)
      #expect(forged?.reason == "name_of_another")
      let reader = await refusal {
        try await submit(.test(split("m")), at: node, .token(rita))
      }
      #expect(reader?.reason == "role_missing")
      #expect(reader?.message.contains("rita is reader") == true)
      #expect(node.core.store.current.version == CatalogVersion(1))
    }
  }

  @Test func aLearnerPassesOnWhoAsked() async throws {
    let (alice, rita) = (try admit("alice", .operator), try admit("rita", .reader))
    let tokyo = try admit("tokyo-1", .learner)
    let folder = TemporaryFolder()
    try await withGuardedLeader { leader in
      try await submit(.test(oneRoute), at: leader, .token(alice))
      func withLearner(
        _ token: String, _ configure: (inout NodeConfiguration) -> Void,
        _ body: (TestNode) async throws -> Void
      ) async throws {
        try await withNode(
          try await TestNode(
            .learner(of: leader.address), folder: folder.appending(UUID().uuidString)
          ) { configuration in
            configuration.connection.security = .token(token)
            configuration.limits.patience = .seconds(60)
            configure(&configuration)
          }, body)
      }
      try await withLearner(tokyo) {
        $0.security.identities = secrets.path("tokens")
      } _: { learner in
        try await submit(.test(split("m")), at: learner, .token(alice))
        #expect(try lastActor(leader) == "alice")
        try await reach(learner, CatalogVersion(2))
        for (security, name, reason) in [
          (ClientSecurity.token(rita), nil, "role_missing"),
          (.token(alice), "bob", "name_of_another"),
          (.token(tokyo), nil, "role_missing"),
          (ClientSecurity(), nil, "token_missing"),
        ] {
          let refused = await refusal {
            try await submit(.test(split("t")), at: learner, security, onBehalfOf: name)
          }
          #expect(refused?.reason == reason)
        }
      }
      // One that asks nobody who they are passes nothing on.
      try await withLearner(tokyo) { _ in
      } _: { learner in
        let refused = await refusal {
          try await submit(.test(split("t")), at: learner, ClientSecurity())
        }
        #expect(refused?.reason == "role_missing")
      }
      #expect(leader.core.store.current.version == CatalogVersion(2))
    }
  }

  /// Nodes pass on no timestamps and no transactions: who asks the wrong node asks the right one. So
  /// whoever asks is the author, and what the node does by itself is its own.
  @Test func whoAsksIsTheAuthorInARegionsStreamToo() async throws {
    let (alice, tokyo1) = (try admit("alice", .operator), try admit("tokyo-1", .learner))
    let (folder, tokyo) = (TemporaryFolder(), try Region("tokyo"))
    let path = folder.appending("leader")
    try EventLog.create(folder: path, catalog: testCatalog).releaseForWriting()
    try await enableRegionStreams(in: path, member: "tokyo-7")
    let node = try await TestNode(.leader, folder: path) {
      $0.ledRegions = [tokyo]
      $0.leaderName = try? MemberName("tokyo-7")
      $0.clocks.renewEvery = .milliseconds(50)
      $0.security.identities = secrets.path("tokens")
      $0.connection.security = .token(alice)
    }
    try await withNode(node) { node in
      let groups = GroupSet(GroupRun(GroupID(1), through: GroupID(9)))
      let id = try #require(TransactionID(bytes: [UInt8](repeating: 1, count: 16)))
      _ = try await node.client.lead(groups, in: tokyo)
      _ = try await node.client.begin(
        id, participants: groups, timeout: .seconds(60), command: .random())
      let before = try await node.client.regions().regions[0].renewals
      try await until { try await node.client.regions().regions[0].renewals > before }
      _ = try await node.client.retire(groups, in: tokyo)
      for method in [
        Cadastre_V1_Timestamps.Method.Next.descriptor,
        Cadastre_V1_Timestamps.Method.LeadGroups.descriptor,
        Cadastre_V1_Transactions.Method.Begin.descriptor,
        Cadastre_V1_Transactions.Method.Decide.descriptor,
      ] {
        var call = RawCall(method)
        call.metadata.addString("alice", forKey: CommandForwarding.onBehalfHeader)
        let outcome = await call.send([[]], to: node.address, .token(tokyo1))
        #expect(outcome.reason == "name_of_another", "\(method)")
      }
    }
    let log = try RegionEventLog.open(
      folder: RegionEventLog.folder(of: tokyo, in: path), region: tokyo, mode: .readOnly)
    let entries = try log.entries(from: LogPosition(1), maxCount: 1000, maxBytes: 1 << 20)
    var authors: [String: Set<String>] = [:]
    for entry in entries { authors[entry.entry.reason, default: []].insert(entry.entry.actor) }
    #expect(authors["lead"] == ["alice"], "\(authors)")
    #expect(authors["transaction"] == ["alice"] && authors["hand over"] == ["alice"], "\(authors)")
    #expect(authors["renewal"] == ["tokyo-7"], "\(authors)")
  }

  // MARK: - In plain text

  @Test func tokensStayOnThisMachineInPlainText() throws {
    for peer in [
      "ipv4:127.0.0.1:80", "ipv4:127.8.8.8:1", "ipv6:[::1]:80", "ipv6:[::ffff:127.0.0.1]:1",
    ] {
      #expect(AccessControl.isLoopback(peer), "\(peer)")
    }
    for peer in ["ipv4:10.0.0.1:80", "ipv4:12.7.0.1:80", "ipv6:[::2]:80", "<unknown>", ""] {
      #expect(!AccessControl.isLoopback(peer), "\(peer)")
    }
    let elsewhere = NodeAddress(host: "192.0.2.1", port: 4711)
    var connection = ConnectionOptions()
    connection.security = .token("secret")
    func reason() -> String? {
      do throws(NodeError) {
        _ = try NodeClient(elsewhere, connection: connection)
        return nil
      } catch {
        return error.reason
      }
    }
    #expect(reason() == "token_in_plain_text")
    connection.security.allowsPlaintextToken = true
    #expect(reason() == nil)
    connection.security.allowsPlaintextToken = false
    connection.security.isEncrypted = true
    #expect(reason() == nil)
    for text in ["", "  ", "two words", String(repeating: "a", count: 1025), "tëst"] {
      connection.security.token = .text(text)
      #expect(reason() == "token_malformed", "\(text)")
    }
  }

  // MARK: - On the command line

  @Test func tokensAreMadeAndUsedOnTheCommandLine() async throws {
    try await withTemporaryFolder { folder in
      let authority = try TestAuthority()
      let trusted = try secrets.write(authority.certificate, to: "ca.pem")
      let certificate = try secrets.write(authority.issue("node"), to: "node")
      let tokenFile = folder.appending(path: "alice.token").path
      let made = try await cadastre(
        "token", "new", "--name", "alice", "--role", "operator", "--expires-in", "1h", "--out",
        tokenFile)
      #expect(made.status == 0, "\(made.errors)")
      let again = try await cadastre(
        "token", "new", "--name", "alice", "--role", "operator", "--out", tokenFile)
      #expect(again.status == 1)
      let reader = try await cadastre(
        "token", "new", "--name", "rita", "--role", "reader", "--json")
      let tokens = try secrets.write(
        made.output + (try reader.json["line"].string) + "\n", to: "tokens")
      let checked = try await cadastre("token", "check", tokens, "--json")
      #expect(try checked.json.array.map { try $0["name"].string } == ["alice", "rita"])

      let log = folder.appending(path: "log").path
      _ = try await cadastre("init", log)
      let server = try CadastreProcess([
        "serve", "--log", log, "--json", "--tls-cert", certificate.certificate, "--tls-key",
        certificate.key, "--tokens", tokens,
      ])
      try await until { server.outputSoFar.contains("\n") || !server.isRunning }
      let first = try #require(
        server.outputSoFar.split(separator: "\n").first, "\(server.errorsSoFar)")
      let address = try JSONDocument(String(first))["listening"].string
      let split = try await cadastre(
        "split", "--at", "m", "--server", address, "--ca", trusted, "--token-file", tokenFile,
        "--actor", "somebody")
      #expect(split.status == 0, "\(split.errors)")
      let environment = [
        "CADASTRE_SERVER": address, "CADASTRE_CA": trusted,
        "CADASTRE_TOKEN": try reader.json["token"].string,
      ]
      let log2 = try await cadastre("audit", "log", "--json", environment: environment)
      #expect(log2.output.contains("\"actor\":\"alice\""), "\(log2.output) \(log2.errors)")
      let denied = try await cadastre("split", "--at", "t", "--json", environment: environment)
      #expect(denied.status == 4)
      #expect(try denied.error["code"].string == "role-missing")
      let plain = try await cadastre("status", "--server", address, "--json")
      #expect(plain.status == 6)
      #expect(try plain.error["code"].string == "server-wants-tls")
      let stopped = try await server.stop()
      #expect(stopped.status == 0, "\(stopped.errors)")
    }
  }

  @Test func aHangupHasTheFilesReadAgain() async throws {
    try await withTemporaryFolder { folder in
      let alice = try admit("alice", .reader)
      let before = try String(contentsOfFile: secrets.path("tokens"), encoding: .utf8)
      let log = folder.appending(path: "log").path
      _ = try await cadastre("init", log)
      let config = try secrets.write("{ \"history\": 100 }", to: "node.json5")
      let server = try CadastreProcess([
        "serve", "--log", log, "--json", "--config", config, "--tokens", secrets.path("tokens"),
      ])
      /// Hangs up, and waits until the log says all of these once more than it did.
      func hangUp(_ lines: String..., sourceLocation: SourceLocation = #_sourceLocation)
        async throws
      {
        func counts() -> [Int] {
          lines.map { server.errorsSoFar.components(separatedBy: $0).count }
        }
        let before = counts()
        server.signal(SIGHUP)
        try await until { !zip(before, counts()).contains(where: >=) || !server.isRunning }
        #expect(server.isRunning, "\(server.errorsSoFar)", sourceLocation: sourceLocation)
      }
      // However early, it does not end the node.
      try await until { server.outputSoFar.contains("\n") || !server.isRunning }
      let first = try #require(
        server.outputSoFar.split(separator: "\n").first, "\(server.errorsSoFar)")
      let address = try JSONDocument(String(first))["listening"].string
      func status(_ token: String) async throws -> Int32 {
        try await cadastre(
          "status", "--server", address, environment: ["CADASTRE_TOKEN": token]
        ).status
      }
      // Without a change nobody but the signal has them read.
      try await hangUp("read again: the identities", "the settings are as they were at the start")
      #expect(try await status(alice) == 0)
      try secrets.write("alice king\n", to: "tokens")
      try secrets.write("{ \"histori\": 100 }", to: "node.json5")
      try await hangUp(
        "new files cannot be used: the identities stay as they were",
        "the settings cannot be used: the node would not start with them")
      #expect(server.errorsSoFar.contains("there are 2 words"))
      #expect(server.errorsSoFar.contains("histori is no setting"))
      #expect(try await status(alice) == 0)
      try secrets.write(before, to: "tokens")
      let bob = try admit("bob", .reader)
      try secrets.write("{ \"history\": 200, \"patience\": \"3s\" }", to: "node.json5")
      try await hangUp(
        "read again: the identities",
        "the settings have changed: restart the node to have them in force")
      #expect(server.errorsSoFar.contains("history, patience"), "\(server.errorsSoFar)")
      #expect(try await status(bob) == 0)
      for _ in 0..<20 { server.signal(SIGHUP) }
      #expect(try await status(alice) == 0)
      let ended = try await server.stop()
      #expect(ended.status == 0, "\(ended.errors)")
    }
  }
}

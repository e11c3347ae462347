import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import NIOPosix
import Replay
import StateMachines
import SwiftProtobuf
import TestSupport
import Testing

@testable import Node

/// Whatever callers send, they hear what was wrong with it, and the node goes on serving.
@Suite(.timeLimit(.minutes(5))) struct HostileInputTests {
  private static let status = "/cadastre.v1.CatalogReads/GetStatus"

  /// Runs `body`, which blocks, on a thread that may.
  private func blocking<Result: Sendable>(
    _ body: @escaping @Sendable () throws -> Result
  ) async throws -> Result {
    try await NIOThreadPool.singleton.runIfActive(body)
  }

  /// The node answers, and its catalog is sound.
  private func expectServing(_ node: TestNode, _ comment: Comment) async throws {
    let status = try await node.client.status(deadline: .seconds(20))
    #expect(status.version == node.core.store.current.version, comment)
    #expect(node.core.condition == nil, comment)
    node.core.store.current.routes.checkInvariants()
  }

  private func withBootstrappedLeader(
    _ configure: (inout NodeConfiguration) -> Void = { _ in },
    _ body: (TestNode) async throws -> Void
  ) async throws {
    try await withLeader(configure) { node in
      try await node.client.submit(.test(bootstrap("g", "p")))
      try await body(node)
    }
  }

  // MARK: - Messages

  @Test(arguments: testSeeds(count: 2))
  func everyMethodAnswersWhateverMessage(seed: UInt64) async throws {
    try await withBootstrappedLeader {
      $0.limits.patience = .milliseconds(20)
    } _: { node in
      var maker = try MessageMaker(generator: SeededGenerator(seed: seed))
      for method in maker.methods {
        for round in 0..<6 {
          let messages = (0..<(method.takesStream ? 2 : 1)).map { _ in maker.next(method.input) }
          var call = RawCall(method.descriptor)
          call.patience = .milliseconds(20)
          // A stream may go on for ever; nothing else waits for longer than its demand.
          if method.isStream { call.timeout = .milliseconds(500) }
          let outcome = await call.send(messages, by: node.client)
          let comment: Comment =
            "seed \(seed), round \(round): \(method.descriptor): \(outcome.message)"
          switch outcome.code {
          case .some(.unknown), .some(.internalError), .some(.unimplemented):
            Issue.record("\(comment): \(outcome.code?.description ?? "")")
          case .some(.deadlineExceeded), .some(.unavailable):
            #expect(method.isStream || outcome.reason != nil, comment)
          case .some:
            #expect(!outcome.message.isEmpty, comment)
          case nil: break
          }
        }
      }
      try await expectServing(node, "seed \(seed)")
    }
  }

  @Test func whatIsTooLongIsSaidToBe() async throws {
    try await withBootstrappedLeader {
      $0.connectionLimits.messageByteCount = 1 << 20
    } _: { node in
      let client = node.client
      var refusals: [(RPCError.Code, NodeError?)] = []
      refusals.append(
        (
          .invalidArgument,
          await refusal {
            try await client.reads.resolve(.with { $0.key = Data(repeating: 1, count: 5000) })
          }
        ))
      refusals.append(
        (
          .invalidArgument,
          await refusal {
            try await client.reads.resolveBatch(
              .with { $0.keys = Array(repeating: Data([1]), count: 10_001) })
          }
        ))
      let huge = RawCall(Cadastre_V1_CatalogReads.Method.Resolve.descriptor)
      let outcome = await huge.send([[UInt8](repeating: 0, count: 2 << 20)], by: client)
      // The stream may be reset while the message is still on its way.
      #expect(outcome.code == .resourceExhausted || outcome.code == .unavailable, "\(outcome)")
      for (code, refused) in refusals {
        #expect(refused?.code == code, "\(String(describing: refused))")
        #expect(refused?.message.isEmpty == false)
      }
      try await expectServing(node, "after long input")
    }
  }

  /// A caller that sends for ever is answered or cut off, and takes nothing from others meanwhile.
  @Test func endlessStreamsEnd() async throws {
    try await withBootstrappedLeader { node in
      for (method, message) in [
        (Cadastre_V1_CatalogReads.Method.Resolve.descriptor, [UInt8]([0x0A, 1, 65])),
        (Cadastre_V1_Replication.Method.Follow.descriptor, []),
        (Cadastre_V1_CatalogCommands.Method.Split.descriptor, []),
      ] {
        let endless = Array(repeating: message, count: 20_000)
        let outcome = await RawCall(method).send(endless, to: node.address, ClientSecurity())
        // Follow's first message asks for another catalog; the others take one message.
        #expect(outcome.code != nil, "\(method)")
        #expect(outcome.code != .unknown, "\(method): \(outcome.message)")
      }
      try await expectServing(node, "after endless streams")
    }
  }

  // MARK: - Calls that are none

  @Test func wrongCallsGetAStatus() async throws {
    try await withBootstrappedLeader { node in
      let empty = Frames.message([])
      let cases: [(String, [UInt8], String, String)] = [
        ("a right one", Frames.call(Self.status, body: empty), "grpc-status", "0"),
        (
          "no such method", Frames.call("/cadastre.v1.CatalogReads/No", body: empty), "grpc-status",
          "12"
        ),
        ("no such service", Frames.call("/no.Service/No", body: empty), "grpc-status", "12"),
        ("no path of a method", Frames.call("/", body: empty), "grpc-status", "12"),
        (
          "another content", Frames.call(Self.status, [("content-type", "text/html")], body: empty),
          ":status", "415"
        ),
        (
          "an unknown compression",
          Frames.call(Self.status, [("grpc-encoding", "lzma")], body: empty),
          "grpc-status", "12"
        ),
        (
          "a number for a message",
          Frames.call(
            "/cadastre.v1.CatalogReads/Resolve", body: Frames.message([0xFF, 0xFF])),
          "grpc-status", "3"
        ),
      ]
      for (name, bytes, field, value) in cases {
        let address = node.address
        let answer = try await blocking {
          let connection = try RawConnection(address)
          connection.send(Frames.greeting() + bytes)
          return connection.answer()
        }
        #expect(answer.fields[field] == value, "\(name): \(answer)")
      }
      // Not calls at all by HTTP/2's own rules: the stream, or the connection, ends.
      for (name, bytes) in [
        ("no te", Frames.call(Self.status, [("te", nil)], body: empty)),
        ("no path", Frames.call(Self.status, [(":path", nil)], body: empty)),
        ("another verb", Frames.call(Self.status, [(":method", "GET")], body: empty)),
        ("upper case", Frames.call(Self.status, [("Bad-Name", "x")], body: empty)),
        (
          "compressed without saying how",
          Frames.call(Self.status, body: Frames.message([], flag: 1))
        ),
        ("less than its length", Frames.call(Self.status, body: Frames.message([1], length: 100))),
        (
          "more than all there is",
          Frames.call(Self.status, body: Frames.message([1], length: 1 << 31))
        ),
        (
          "a head of 200 KiB",
          Frames.call(
            Self.status, [("x", String(repeating: "y", count: 200_000))], body: empty)
        ),
      ] {
        let address = node.address
        let answer = try await blocking {
          let connection = try RawConnection(address)
          connection.send(Frames.greeting() + bytes)
          connection.finish()
          return connection.answer()
        }
        let isRefused =
          answer.isClosed || answer.resetCode != nil
          || answer.fields["grpc-status"].map { $0 != "0" } ?? false
        #expect(isRefused, "\(name): \(answer)")
      }
      try await expectServing(node, "after wrong calls")
    }
  }

  // MARK: - Bytes

  @Test(arguments: testSeeds(count: 3))
  func whateverBytesLeaveTheNodeServing(seed: UInt64) async throws {
    try await withBootstrappedLeader { node in
      let address = node.address
      try await blocking {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<60 {
          // The one before may still be about to be closed.
          let connection = try RawConnection(address)
          connection.send(Self.bytes(&generator))
          if generator.oneIn(2) { connection.finish() }
          connection.drain()
        }
      }
      try await expectServing(node, "seed \(seed)")
    }
  }

  /// A session, damaged; or frames at random; or noise.
  private static func bytes(_ generator: inout SeededGenerator) -> [UInt8] {
    func random(_ count: Int, _ generator: inout SeededGenerator) -> [UInt8] {
      (0..<count).map { _ in .random(in: .min ... .max, using: &generator) }
    }
    let count = Int.random(in: 1...200, using: &generator)
    switch Int.random(in: 0..<5, using: &generator) {
    case 0: return random(count, &generator)
    case 1: return Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)
    case 2:
      var bytes = Frames.greeting()
      for _ in 0..<Int.random(in: 1...20, using: &generator) {
        let payload = random(Int.random(in: 0...40, using: &generator), &generator)
        bytes += Frames.frame(
          .random(in: 0...12, using: &generator), flags: .random(in: 0...255, using: &generator),
          stream: .random(in: 0...9, using: &generator), payload)
      }
      return bytes
    default:
      var bytes = Frames.greeting()
      for index in 0..<UInt32.random(in: 1...4, using: &generator) {
        bytes += Frames.call(Self.status, stream: index * 2 + 1, body: Frames.message([]))
      }
      for _ in 0..<Int.random(in: 0...4, using: &generator) {
        let index = Int.random(in: 0..<bytes.count, using: &generator)
        if generator.oneIn(3) {
          bytes.removeSubrange(index..<min(bytes.count, index + count))
          if bytes.isEmpty { return bytes }
        } else {
          bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        }
      }
      return Array(bytes.prefix(.random(in: 0...bytes.count, using: &generator)))
    }
  }

  // MARK: - Time

  @Test func whoeverDawdlesIsCutOff() async throws {
    try await withBootstrappedLeader {
      $0.connectionLimits.patience = .milliseconds(300)
    } _: { node in
      let address = node.address
      let (slow, idle) = try await blocking {
        let idle = try RawConnection(address)
        idle.send(Frames.greeting())
        let head = Frames.head(Self.status)
        let open = Frames.frame(.headers, stream: 1, head)
        let whole = Frames.frame(.headers, flags: Frames.endHeaders, stream: 1, head)
        let more = Frames.frame(.continuation, stream: 1, Array("abc".utf8))
        let data = Frames.frame(.data, stream: 1, [0, 0, 0, 0, 9, 1])
        let greeting = Frames.greeting()
        let beginnings: [[UInt8]] = [
          [], Array(Frames.preface.prefix(10)), Frames.preface, Array(greeting.dropLast(3)),
          greeting + [0, 0],
          // A head that never ends, and one whose next part never ends.
          greeting + open, greeting + open + more.dropLast(),
          // Part of a message's frame.
          greeting + whole + data.dropLast(2),
        ]
        let slow = try beginnings.map { bytes in
          let connection = try RawConnection(address)
          connection.send(bytes)
          return connection
        }
        var closed = 0
        for connection in slow {
          // Until the end of the connection; a stream that is not there never ends.
          if connection.answer(on: 99).isClosed { closed += 1 }
        }
        // It has been silent for longer than all of those.
        idle.send(Frames.call(Self.status, body: Frames.message([])))
        return (slow.count - closed, idle.answer().fields["grpc-status"])
      }
      #expect(slow == 0)
      #expect(idle == "0")
    }
  }

  // MARK: - Numbers

  @Test func oneConnectionTooManyIsClosed() async throws {
    try await withBootstrappedLeader {
      $0.connectionLimits.connections = 3
      $0.connectionLimits.streamsPerConnection = 5
    } _: { node in
      try await expectServing(node, "the node's own client is the first")
      let address = node.address
      let answers = try await blocking {
        let first = try RawConnection(address)
        let second = try RawConnection(address)
        for connection in [first, second] {
          connection.send(Frames.greeting() + Frames.call(Self.status, body: Frames.message([])))
        }
        let answers = [first.answer().fields["grpc-status"], second.answer().fields["grpc-status"]]
        let third = try RawConnection(address)
        third.send(Frames.greeting())
        let isClosed = third.answer(on: 99).isClosed
        withExtendedLifetime((first, second)) {}
        return (answers, isClosed)
      }
      #expect(answers.0 == ["0", "0"])
      #expect(answers.1)
      // Their places are free again.
      try await until {
        try await blocking {
          let connection = try RawConnection(address)
          connection.send(Frames.greeting() + Frames.call(Self.status, body: Frames.message([])))
          return connection.answer().fields["grpc-status"] == "0"
        }
      }
    }
  }

  /// Watches whose answers nobody takes cost the node little, and its writer nothing.
  @Test func callersThatNeverReadAreOnlyALittleTrouble() async throws {
    try await withServer { server, address in
      let client = "/cadastre.v1.CatalogWatch/Watch"
      let before = try server.residentKibibytes()
      let connections = try await blocking {
        try (0..<4).map { _ in
          let connection = try RawConnection(address)
          var bytes = Frames.greeting(initialWindow: 0)
          for index in 0..<UInt32(100) {
            bytes += Frames.call(client, stream: index * 2 + 1, body: Frames.message([]))
          }
          connection.send(bytes)
          return UncheckedConnection(connection)
        }
      }
      // Every one of them has all of this to come.
      try await NodeClient.with(address) { client in
        for round in 0..<40 {
          let keys = (0..<100).map { SplitRequest(at: Key("\(round) \($0)")) }
          try await client.submit(.test(.split(keys)))
        }
        let status = try await client.status(deadline: .seconds(20))
        #expect(status.version == CatalogVersion(41))
      }
      let after = try server.residentKibibytes()
      print("400 watches that nobody reads, 4,000 splits: \(after - before) KiB more")
      // 400 times what they have to come would be 100 MiB.
      #expect(after - before < 60_000)
      withExtendedLifetime(connections) {}
    }
  }

  /// A caller that obeys the windows sends all but the ends of messages on a hundred streams.
  ///
  /// Nothing but the bound holds it back: the windows open again and again.
  @Test func unfinishedMessagesTakeABoundedPlace() async throws {
    let (limit, body) = (1 << 20, 900_000)
    try await withServer(["--max-message", "\(limit)"]) { server, address in
      /// What became of as many calls on a connection of their own.
      @Sendable func dawdle(_ streams: Int) throws -> Dawdling {
        let connection = try RawConnection(address)
        var dawdling = Dawdling(connection)
        for index in 0..<streams {
          dawdling.send(
            Self.status, on: UInt32(index) * 2 + 1, length: limit - 100, byteCount: body)
        }
        dawdling.settle()
        return dawdling
      }
      let before = try server.residentKibibytes()
      let dawdling = try await blocking { try dawdle(100) }
      // Four of the longest: those that came first are waited for.
      #expect(dawdling.resets.count == 96, "\(dawdling)")
      #expect(Set(dawdling.resets.values) == [0xB], "it is told to calm down: \(dawdling)")
      #expect(!dawdling.isStalled, "the windows held it back: \(dawdling)")
      // And those of all connections together are bounded too.
      let others = try await blocking { try (0..<8).map { _ in try dawdle(4) } }
      let going = others.reduce(0) { $0 + 4 - $1.resets.count }
      #expect((12...14).contains(going), "\(going)")
      let after = try server.residentKibibytes()
      print("132 messages of 900,000 bytes without their ends: \(after - before) KiB more")
      // They have 116 MiB.
      #expect(after - before < 60_000)
      // Others are served as ever, also with what takes more than a frame.
      let status = try await NodeClient.with(address) {
        try await $0.status(deadline: .seconds(20))
      }
      #expect(status.version == CatalogVersion(1))
      // What was waited for may end, and its place is free again.
      let ended = try await blocking {
        var dawdling = dawdling
        dawdling.finish(1, byteCount: limit - 100 - body)
        dawdling.send(Self.status, on: 1001, length: limit - 100, byteCount: body)
        dawdling.finish(1001, byteCount: limit - 100 - body)
        return dawdling
      }
      #expect(ended.answered.isSuperset(of: [1, 1001]), "\(ended)")
      withExtendedLifetime(others) {}
    }
  }

  @Test func idleConnectionsAreCheap() async throws {
    // Each side of a connection takes a descriptor in its own process. Ten thousand of them, beside
    // calls, are measured by `run.py --only crowd`: the unoptimised program takes minutes to open them.
    let room = min(4_000, ConnectionLimits.raiseDescriptorLimit() - 1000)
    try #require(room > 1000, "the machine allows too few open files for this test: ulimit -n")
    try await withServer { server, address in
      let before = try server.residentKibibytes()
      let connections = try await blocking {
        let connections = try (0..<room).map { _ in
          let connection = try RawConnection(address)
          connection.send(Frames.greeting())
          return UncheckedConnection(connection)
        }
        // The last ones are accepted and greeted when all others are.
        for connection in connections.suffix(8) { _ = connection.value.receive() }
        return connections
      }
      let after = try server.residentKibibytes()
      print(
        "\(room) idle connections: \((after - before) / 1024) MiB,",
        "\((after - before) * 1024 / room) bytes each")
      #expect((after - before) * 1024 / room < 64 << 10)
      let status = try await NodeClient.with(address) {
        try await $0.status(deadline: .seconds(20))
      }
      #expect(status.version == CatalogVersion(1))
      withExtendedLifetime(connections) {}
    }
  }

  /// Only one thread at a time has it.
  private struct UncheckedConnection: @unchecked Sendable {
    let value: RawConnection
    init(_ value: RawConnection) { self.value = value }
  }

  /// Runs a leader in a process of its own, with one route.
  private func withServer(
    _ arguments: [String] = [], _ body: (CadastreProcess, NodeAddress) async throws -> Void
  ) async throws {
    try await withTemporaryFolder { folder in
      let log = folder.appending(path: "log").path
      _ = try await cadastre("init", log)
      let server = try CadastreProcess(
        [
          "serve", "--log", log, "--json", "--max-connections", "20000",
        ] + arguments)
      do {
        try await until { server.outputSoFar.contains("\n") || !server.isRunning }
        let first = try #require(
          server.outputSoFar.split(separator: "\n").first, "\(server.errorsSoFar)")
        try await body(server, try NodeAddress(JSONDocument(String(first))["listening"].string))
      } catch {
        _ = try await server.stop()
        throw error
      }
      let ended = try await server.stop()
      #expect(ended.status == 0, "\(ended.errors)")
    }
  }
}

/// Sends messages without their ends, as fast as the windows allow.
private struct Dawdling: CustomStringConvertible, @unchecked Sendable {
  // Only one thread at a time has it.
  let connection: RawConnection
  private var received: [UInt8] = []
  /// How many bytes the connection's window has room for; that of a stream has room for all.
  private var window = 65_535
  /// The codes of the streams that were reset.
  private(set) var resets: [UInt32: UInt32] = [:]
  /// The streams that the node ended with an answer.
  private(set) var answered: Set<UInt32> = []
  /// Whether the window stayed shut.
  private(set) var isStalled = false
  private var isPingAnswered = false
  private(set) var sentByteCount = 0

  init(_ connection: RawConnection) {
    self.connection = connection
    connection.send(Frames.greeting())
  }

  var description: String {
    "\(sentByteCount) bytes sent, \(resets.count) streams reset, stalled: \(isStalled)"
  }

  /// Begins a call with a message of which the first `byteCount` bytes are sent.
  mutating func send(_ path: String, on stream: UInt32, length: Int, byteCount: Int) {
    connection.send(
      Frames.frame(.headers, flags: Frames.endHeaders, stream: stream, Frames.head(path)))
    let header: [UInt8] = [0] + (0..<4).map { UInt8(length >> (24 - 8 * $0) & 255) }
    send(header + [UInt8](repeating: 0, count: byteCount), on: stream)
  }

  /// Sends the rest, and the end of the call.
  mutating func finish(_ stream: UInt32, byteCount: Int) {
    send([UInt8](repeating: 0, count: byteCount), on: stream)
    connection.send(Frames.frame(.data, flags: Frames.endStream, stream: stream))
    var patience = 500
    while resets[stream] == nil, !answered.contains(stream), patience > 0 {
      if !receive() { patience -= 1 }
    }
  }

  /// Waits until the node, which may be slow, has looked at all that was sent and said what it has to.
  mutating func settle() {
    isPingAnswered = false
    connection.send(Frames.frame(.ping, [UInt8](repeating: 7, count: 8)))
    var patience = 500
    while !isPingAnswered, patience > 0 {
      if !receive() { patience -= 1 }
    }
    while receive(patience: .milliseconds(500)) {}
  }

  private mutating func send(_ bytes: [UInt8], on stream: UInt32) {
    var rest = bytes[...]
    while !rest.isEmpty, resets[stream] == nil, !isStalled {
      let part = rest.prefix(16_384)
      var patience = 500
      while window < part.count, patience > 0 {
        if !receive() { patience -= 1 }
      }
      isStalled = window < part.count
      guard !isStalled, resets[stream] == nil else { return }
      connection.send(Frames.frame(.data, stream: stream, Array(part)))
      window -= part.count
      sentByteCount += part.count
      rest = rest.dropFirst(part.count)
    }
    // What becomes of the stream may be under way.
    while resets[stream] == nil, receive() {}
  }

  /// Looks at what comes; false when nothing came for a while.
  private mutating func receive(patience: Duration = .milliseconds(20)) -> Bool {
    guard let bytes = connection.receive(patience: patience), !bytes.isEmpty else {
      return false
    }
    received += bytes
    while received.count >= 9 {
      let length = Int(received[0]) << 16 | Int(received[1]) << 8 | Int(received[2])
      guard received.count >= 9 + length else { break }
      let (kind, flags) = (received[3], received[4])
      let stream = received[5..<9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      let value = received[9..<9 + length].reduce(UInt32(0)) { $0 &<< 8 | UInt32($1) }
      received.removeFirst(9 + length)
      switch Frames.Kind(rawValue: kind) {
      case .windowUpdate where stream == 0: window += Int(value)
      // A call that was answered before its end is ended so too.
      case .rstStream where value != 0: resets[stream] = value
      case .headers where flags & Frames.endStream != 0: answered.insert(stream)
      case .ping where flags & 1 != 0: isPingAnswered = true
      case .settings where flags == 0: connection.send(Frames.frame(.settings, flags: 1))
      default: break
      }
    }
    return true
  }
}

extension CadastreProcess {
  /// How much memory the process has, in kibibytes.
  fileprivate func residentKibibytes() throws -> Int {
    let text = try String(contentsOfFile: "/proc/\(identifier)/status", encoding: .utf8)
    let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
    let number = line?.split { !("0"..."9").contains($0) }.first.flatMap { Int($0) }
    return try #require(number)
  }
}

import Catalog
import Foundation
import StateMachines
import TestSupport
import Testing

/// A whole small log: its bytes, the state that it makes, and the example of `FORMAT.md`.
@Suite struct GoldenLogTests {
  static let catalog = CatalogID(bytes: Array("cadastre-golden1".utf8)) ?? unreachable()
  static let folder = fixturesFolder.appending(path: "golden")

  private static func changes() throws -> [(reason: String, change: RouteChange)] {
    let regions = [try Region("us-east"), try Region("eu-west")]
    let ids = { (ids: UInt64...) in ids.map { RouteID($0) } }
    return [
      ("begin", .bootstrap([RouteSeedRequest(start: .least, group: GroupID(1))])),
      (
        "spread the load",
        .split(["usr/share", "etc", "var", "usr"].map { SplitRequest(at: Key($0)) })
      ),
      (
        "a key that is no text",
        .split([SplitRequest(route: RouteID(5), at: Key(unchecked: [0xFF, 0x00, 0x22, 0x5C]))])
      ),
      ("to the new group", .move(ids(3, 4), to: GroupID(2))),
      ("before the copy", .setState(ids(6), to: .writeFenced)),
      ("keep it at home", .setAllowedRegions(ids(3, 4), to: regions)),
      ("after the copy", .setState(ids(6), to: .active)),
      (
        "too small to be two",
        .merge([
          MergeRequest(left: RouteID(3), right: RouteID(4)),
          MergeRequest(left: RouteID(6), right: RouteID(5)),
          MergeRequest(left: RouteID(1), right: RouteID(2)),
        ])
      ),
      ("again", .split([SplitRequest(at: Key("usr/share")), SplitRequest(at: Key("bin"))])),
    ]
  }

  private static func log() throws -> (state: CatalogState, entries: [EncodedEntry]) {
    var state = CatalogState(catalog: catalog)
    var entries: [EncodedEntry] = []
    for (index, step) in try changes().enumerated() {
      let bytes = (0..<16).map { UInt8(16 * (index + 1) + $0) }
      let command = Command(
        id: CommandID(bytes: bytes) ?? unreachable(), actor: "ops@example", reason: step.reason,
        change: step.change)
      let time = HybridTimestamp(
        milliseconds: 1_785_312_000_000 + UInt64(index) * 1000, counter: UInt16(index))
      if case .append(let entry) = try state.propose(command, time: time) { entries.append(entry) }
    }
    return (state, entries)
  }

  /// The same changes, with commitments to some of the states, one of them made late.
  private static func committedLog() throws -> (state: CatalogState, entries: [EncodedEntry]) {
    var state = CatalogState(catalog: catalog)
    var (entries, frontier): ([EncodedEntry], LogFrontier) = ([], LogFrontier())
    var late: CatalogCommitment?
    func add(_ entry: EncodedEntry) {
      entries.append(entry)
      frontier.append(entry.hash)
    }
    func time() -> HybridTimestamp {
      HybridTimestamp(milliseconds: 1_785_312_000_000 + UInt64(entries.count) * 1000)
    }
    func note(_ commitment: CatalogCommitment) -> Note {
      let bytes = (0..<16).map { UInt8(15 * entries.count + $0) }
      return Note(
        id: CommandID(bytes: bytes) ?? unreachable(), reason: "commitment",
        events: [.catalogCommitted(commitment)])
    }
    for (index, step) in try changes().enumerated() {
      let bytes = (0..<16).map { UInt8(16 * index + $0) }
      let command = Command(
        id: CommandID(bytes: bytes) ?? unreachable(), actor: "ops@example", reason: step.reason,
        change: step.change)
      if case .append(let entry) = try state.propose(command, time: time()) { add(entry) }
      if let commitment = late {
        add(try state.propose(note(commitment), time: time()))
        late = nil
      }
      let commitment = CatalogCommitment(
        version: state.version, position: state.appliedThrough,
        routesRoot: RouteCommitmentTree(of: state.routes).root, logRoot: frontier.root)
      switch index {
      case 2, 8: add(try state.propose(note(commitment), time: time()))
      case 5: late = commitment
      default: break
      }
    }
    return (state, entries)
  }

  /// A region that is lost, gone through, partly promoted and returns, and all else about members.
  private static func membersLog() throws -> (state: CatalogState, entries: [EncodedEntry]) {
    let (asia, europe) = (try Region("asia"), try Region("europe"))
    let (tokyo, paris) = (try MemberName("tokyo-1"), try MemberName("paris-1"))
    let (rome, hot) = (try MemberName("rome-1"), try PolicyName("hot"))
    var state = CatalogState(catalog: catalog)
    var entries: [EncodedEntry] = []
    func perform(_ changes: RouteChange...) throws {
      for change in changes {
        let bytes = (0..<16).map { UInt8(truncatingIfNeeded: 16 * entries.count + $0) }
        let command = Command(
          id: CommandID(bytes: bytes) ?? unreachable(), actor: "ops@example", reason: "a story",
          change: change)
        let time = HybridTimestamp(
          milliseconds: 1_785_312_000_000 + UInt64(entries.count) * 1000)
        guard case .append(let entry) = try state.propose(command, time: time) else {
          return unreachable()
        }
        entries.append(entry)
      }
    }
    func members(_ changes: MembershipChange...) throws {
      for change in changes { try perform(.membership(change)) }
    }
    let all = CapabilitySet.members
    try perform(
      .bootstrap([RouteSeedRequest(start: .least, group: GroupID(1))]),
      .split(["b", "c", "d"].map { SplitRequest(at: Key($0)) }))
    try members(
      .enable(.members),
      .join(tokyo, address: "10.0.0.1:4710", region: asia, capabilities: all),
      .join(paris, address: "10.0.0.2:4710", region: europe, capabilities: all),
      .join(rome, address: "10.0.0.3:4710", region: europe, capabilities: all),
      .setHomes([GroupID(1)], asia, evenIfViolating: false),
      .setHomes([GroupID(2), GroupID(300)], europe, evenIfViolating: false),
      .setHomes([GroupID(300)], nil, evenIfViolating: false),
      .setLeaderPreference(asia, [europe, asia]),
      .setPromotionPolicy(hot, try KeySpan(Key("a"), Key("c"))),
      .setPromotionPolicy(try PolicyName("all"), .all), .setPromotionPolicy(hot, nil),
      .report(by: paris, of: asia, isSilent: true),
      .report(by: paris, of: asia, isSilent: false),
      .report(by: paris, of: asia, isSilent: true), .report(by: rome, of: asia, isSilent: true))
    if state.membership.region(asia)?.status != .lost { try members(.declareLost(asia)) }
    try members(.sweep(asia, epoch: 1, limit: 3), .sweep(asia, epoch: 1, limit: 3))
    let plan = try state.recoveryPlan(for: asia, within: [try KeySpan(.least, Key("c"))])
    try members(
      .promote(plan.step(0, named: plan.name)),
      .join(tokyo, address: "10.0.0.9:4710", region: asia, capabilities: all),
      .beginReturn(asia), .sweep(asia, epoch: 1, limit: 100), .leave(rome))
    let more: CapabilitySet = [.members, .regionClaims]
    func claim(by member: MemberName, _ number: UInt64, limit: UInt64) -> RegionClaim {
      RegionClaim(
        region: asia, epoch: 1, member: member, number: number, limit: Milliseconds(limit))
    }
    try members(
      .join(tokyo, address: "10.0.0.9:4710", region: asia, capabilities: more),
      .join(paris, address: "10.0.0.2:4710", region: europe, capabilities: more),
      .enable(.regionClaims), .claim(claim(by: tokyo, 1, limit: 60_000), replacing: false),
      .claim(claim(by: paris, 2, limit: 0), replacing: true))
    return (state, entries)
  }

  /// The records of a membership, each in hexadecimal.
  private static func text(_ membership: Membership) throws -> String {
    var text = ""
    try MembershipRecord.decode(membership.bytes) { record in
      text +=
        "  record \(record.bytes.map { String(UInt16($0) | 0x100, radix: 16).dropFirst() }.joined())\n"
    }
    return text
  }

  private static func text(_ state: CatalogState, _ entries: [EncodedEntry]) throws -> String {
    let routes = state.routes.routes(overlapping: .all)
      .map { "  \(EntryText.text(of: $0))\n" }.joined()
    return entries.map { EntryText.text(of: $0) + "\n" }.joined()
      + "state at \(state.appliedThrough) version \(state.version) "
      + "next \(state.routes.nextRouteID)\n" + routes + (try text(state.membership))
  }

  @Test(arguments: ["log", "committed", "members-log"])
  func aLogHasItsGoldenBytesAndMakesItsState(name: String) throws {
    let (state, entries) =
      switch name {
      case "log": try Self.log()
      case "committed": try Self.committedLog()
      default: try Self.membersLog()
      }
    let hex = try golden(
      HexFile.text(of: entries.map(\.bytes)), at: Self.folder.appending(path: "\(name).hex"))
    let text = try golden(
      try Self.text(state, entries), at: Self.folder.appending(path: "\(name).txt"))

    let bytes = try #require(HexFile.entries(in: hex))
    #expect(bytes == entries.map(\.bytes))
    var replayed = CatalogState(catalog: Self.catalog)
    let decoded = try bytes.map { try EncodedEntry(decoding: $0) }
    for entry in decoded { try replayed.evolve(entry) }
    #expect(replayed.header == state.header)
    #expect(try Self.text(replayed, decoded) == text)
  }

  /// What stands between ```` ```name ```` and the next fence, without comments.
  private static func block(_ name: String, of text: String) throws -> [[UInt8]] {
    let parts = text.components(separatedBy: "```\(name)\n")
    let block = try #require(parts.dropFirst().first?.components(separatedBy: "```").first)
    return try #require(HexFile.entries(in: block))
  }

  @Test func theExampleOfTheFormatIsTheFirstEntry() throws {
    let page = try String(
      contentsOf: repositoryFolder.appending(path: "FORMAT.md"), encoding: .utf8)
    let entry = try EncodedEntry(
      decoding: try #require(try Self.block("entry", of: page).first))
    #expect(entry == (try Self.log().entries[0]))
    #expect(try Self.block("hash", of: page) == [entry.hash.bytes])

    let records = try Self.block("records", of: page)
    var digest = StateDigest.zero
    for record in records { digest += record.withUnsafeBytes(StateDigest.init(ofRecord:)) }
    #expect(entry.entry.digest == digest)
    for record in records {
      let hash = record.withUnsafeBytes(EntryHash.init(of:))
      #expect(page.contains("`\(hash)`"))
    }
    #expect(page.contains("These are \(entry.bytes.count) bytes"))
    #expect(page.contains("`\(Self.catalog)`"))
    var state = CatalogState(catalog: Self.catalog)
    try state.evolve(entry)
    let route = try #require(state.routes.route(id: RouteID(1)))
    #expect(records.first == ReferenceDigest.record(of: route))
  }

  /// Runs the reader in Python, which was written from `FORMAT.md` alone.
  private static func read(
    _ arguments: [String]
  ) throws -> (output: String, complaint: String, status: Int32) {
    let ended = try ChildProcess(
      URL(filePath: "/usr/bin/env"),
      ["python3", Self.folder.appending(path: "read_log.py").path] + arguments
    ).wait()
    return (ended.output, ended.errors, ended.status)
  }

  @Test func theIndependentReaderAgrees() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
      .filter { $0.hasSuffix(".hex") }.sorted()
    #expect(files.count > 5)
    for file in files {
      var catalog: [String] = []
      if file.hasSuffix("log.hex") || file == "committed.hex" {
        catalog = ["--catalog", "\(Self.catalog)"]
        if file == "region-log.hex" { catalog += ["--region", "tokyo"] }
      }
      let url = Self.folder.appending(path: file)
      let (output, complaint, status) = try Self.read(catalog + [url.path])
      let text = try String(
        contentsOf: url.deletingPathExtension().appendingPathExtension("txt"), encoding: .utf8)
      #expect(status == 0, "\(file): \(complaint)")
      #expect(output == text, "\(file)")
    }
  }

  @Test func theIndependentReaderRefusesAFalseCommitment() throws {
    // A log that is whole but for what it commits to, at once and late.
    for index in [3, 8] {
      let entries = try Self.committedLog().entries.prefix(index + 1).map(\.entry)
      var last = entries[index]
      guard case .catalogCommitted(var commitment)? = last.events.first else {
        Issue.record("entry \(index + 1) commits to nothing")
        continue
      }
      commitment.routesRoot = commitment.logRoot
      last.events = [.catalogCommitted(commitment)]
      let url = FileManager.default.temporaryDirectory
        .appending(path: "cadastre-false-\(UUID().uuidString).hex")
      let bytes = try (entries.dropLast() + [last]).map { try EncodedEntry($0).bytes }
      try HexFile.text(of: bytes).write(to: url, atomically: true, encoding: .utf8)
      defer { try? FileManager.default.removeItem(at: url) }
      let (_, complaint, status) = try Self.read(["--catalog", "\(Self.catalog)", url.path])
      #expect(status == 1)
      #expect(complaint == "read_log.py: the routes have another root\n")
    }
  }

  @Test func theIndependentReaderRefusesAnAlteredLog() throws {
    var entries = try Self.log().entries.map(\.bytes)
    entries[3][120] ^= 1  // A letter of the actor's name.
    let url = FileManager.default.temporaryDirectory
      .appending(path: "cadastre-altered-\(UUID().uuidString).hex")
    try HexFile.text(of: entries).write(to: url, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(at: url) }
    let (_, complaint, status) = try Self.read(["--catalog", "\(Self.catalog)", url.path])
    #expect(status == 1)
    #expect(complaint == "read_log.py: the chain is broken\n")
    #expect(try Self.read([url.path]).status == 0)
  }
}

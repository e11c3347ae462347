import Catalog
import StateMachines
import TestSupport
import Testing

/// Entries that change no routes.
@Suite struct NoteTests {
  private static func hash(_ byte: UInt8) -> MerkleHash {
    MerkleHash(leaf: [byte])
  }

  static func commitment(_ version: UInt64, at position: UInt64) -> Event {
    .catalogCommitted(
      CatalogCommitment(
        version: CatalogVersion(version), position: LogPosition(position), routesRoot: hash(1),
        logRoot: hash(2)))
  }

  static func trim(through position: UInt64, _ version: UInt64) throws -> Event {
    let key = try #require(SigningKey(bytes: Array(0..<32)))
    let marker = TrimMarker(
      through: LogPosition(position), hash: .genesis(of: TestCatalog.id),
      version: CatalogVersion(version), digest: .zero, policy: "test", of: TestCatalog.id,
      signedWith: key)
    return .logTrimmed(try #require(marker))
  }

  @Test func aNoteLeavesTheVersionAsItWas() throws {
    var catalog = try TestCatalog(starts: ["m"])
    let before = catalog.state.header
    let note = Note(
      id: commandID(99), reason: "a test",
      events: [Self.commitment(1, at: 1), try Self.trim(through: 1, 1)])
    let entry = try catalog.state.propose(note, time: catalog.state.lastTime.next)
    #expect(entry.entry.version == CatalogVersion(1))
    #expect(entry.entry.actor == "cadastre")
    #expect(entry.entry.digest == before.digest)
    #expect(catalog.state.header.position == LogPosition(2))
    #expect(catalog.state.version == before.version)
    catalog.entries.append(entry)
    try catalog.perform(.split([SplitRequest(at: Key("c"))]))
    #expect(catalog.state.version == CatalogVersion(2))

    var single = CatalogState(catalog: TestCatalog.id)
    for entry in catalog.entries { try single.evolve(try EncodedEntry(decoding: entry.bytes)) }
    #expect(single.header == catalog.state.header)
    var many = CatalogState(catalog: TestCatalog.id)
    try many.evolve(all: catalog.entries)
    #expect(many.header == catalog.state.header)
    #expect(many.routes.routes(overlapping: .all) == catalog.routes)
  }

  /// What folding an entry with these events after a bootstrap of two routes leads to.
  private func outcome(
    of events: [Event], version: UInt64
  ) throws -> (one: EvolveError?, all: EvolveError?) {
    let state = try TestCatalog(starts: ["m"]).state
    let entry = try EncodedEntry(
      LogEntry(
        position: state.appliedThrough.next, previous: state.lastHash, time: state.lastTime.next,
        actor: "", reason: "", command: commandID(0), version: CatalogVersion(version),
        events: events, digest: state.digest))
    func error(_ body: (inout CatalogState) throws(EvolveError) -> Void) -> EvolveError? {
      var copy = state
      do throws(EvolveError) {
        try body(&copy)
        return nil
      } catch {
        #expect(copy.header == state.header)
        return error
      }
    }
    return (
      error { state throws(EvolveError) in try state.evolve(entry) },
      error { state throws(EvolveError) in try state.evolve(all: [entry]) }
    )
  }

  @Test func notesOfWhatIsYetToComeAreRefused() throws {
    for (events, expected) in [
      ([Self.commitment(1, at: 1)], nil),
      ([Self.commitment(0, at: 0)], nil),
      ([Self.commitment(1, at: 2)], EvolveError.ahead(LogPosition(2), event: 0)),
      ([Self.commitment(2, at: 1)], .ahead(LogPosition(2), event: 0)),
      (
        [Self.commitment(1, at: 1), Self.commitment(.max, at: .max)],
        .ahead(LogPosition(2), event: 1)
      ),
      ([try Self.trim(through: 1, 1)], nil),
      ([try Self.trim(through: 2, 1)], .ahead(LogPosition(2), event: 0)),
      ([try Self.trim(through: 1, 2)], .ahead(LogPosition(2), event: 0)),
    ] {
      let outcome = try outcome(of: events, version: 1)
      #expect(outcome.one == expected, "\(events)")
      #expect(outcome.all == expected, "\(events)")
    }
    guard case .halt = EvolveError.ahead(LogPosition(2), event: 0).recovery else {
      Issue.record("a note that cannot be halts")
      return
    }
  }

  @Test func aNoteThatMakesAVersionIsRefused() throws {
    let outcome = try outcome(of: [Self.commitment(1, at: 1)], version: 2)
    let error = EvolveError.wrongVersion(
      LogPosition(2), expected: CatalogVersion(1), found: CatalogVersion(2))
    #expect(outcome.one == error)
    #expect(outcome.all == error)
  }

  @Test func aMarkerIsSignedForItsFieldsAndItsCatalog() throws {
    guard case .logTrimmed(let marker) = try Self.trim(through: 7, 3) else { return }
    #expect(marker.isSigned(for: TestCatalog.id))
    let other = try #require(CatalogID(bytes: [UInt8](repeating: 1, count: 16)))
    #expect(!marker.isSigned(for: other))
    let changes: [(inout TrimMarker) -> Void] = [
      { $0.through = LogPosition(8) }, { $0.version = CatalogVersion(4) },
      { $0.hash = .genesis(of: other) }, { $0.policy = "none" },
      { $0.digest = StateDigest(ofRecord: UnsafeRawBufferPointer(start: nil, count: 0)) },
      { $0.publicKey = PublicKey(bytes: [UInt8](repeating: 9, count: 32)) ?? $0.publicKey },
      { $0.signature = Signature(bytes: [UInt8](repeating: 9, count: 64)) ?? $0.signature },
    ]
    for (index, change) in changes.enumerated() {
      var altered = marker
      change(&altered)
      #expect(!altered.isSigned(for: TestCatalog.id), "\(index)")
    }
  }

  @Test func aKeyIsMadeOfItsBytes() throws {
    // RFC 8032, section 7.1, test 2.
    let secret = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
    let key = try #require(bytes(hexadecimal: secret).flatMap { SigningKey(bytes: $0) })
    #expect(
      "\(key.publicKey)" == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    let signature = try #require(key.signature(of: [0x72]))
    #expect(
      "\(signature)" == "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        + "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
    #expect(key.publicKey.isValid(signature, for: [0x72]))
    #expect(!key.publicKey.isValid(signature, for: [0x73]))
    #expect(SigningKey(bytes: [1, 2, 3]) == nil)
  }
}

import Catalog
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// Proofs of routes: they hold for what was, from whatever commitment and for whatever head, and
/// nothing else can be made of them.
@Suite struct RouteProofTests {
  private static let keys = ["", "a", "abc", "b", "ccc", "d", "zz"].map { Key($0) }

  @Test(arguments: testSeeds(count: 4))
  func everyVersionIsProven(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let story = try CommittedStory(
      seed: seed, count: 40, interval: [3, 8, 30, 1000][Int(seed % 4)], delay: Int(seed % 5))
    let prover = Prover(story.log, checkpoints: nil)
    for number in 1...story.newest.rawValue {
      let version = CatalogVersion(number)
      let made = try #require(try story.log.position(of: version))
      let key = Self.keys.randomElement(using: &generator) ?? .least
      let route = try #require(story.table(version).route(containing: key))
      let last = UInt64(story.entries.count)
      let heads = [made.rawValue, last, UInt64.random(in: made.rawValue...last, using: &generator)]
      for head in heads.map({ LogPosition($0) }) {
        let place: Comment = "seed \(seed), version \(version), key \(key), head \(head)"
        let (proof, proven) = try prover.prove(key, at: version, head: head)
        #expect(proven.route == route, place)
        #expect(proven.head == head, place)
        let bytes = try proof.encoded()
        #expect(try RouteProof(decoding: bytes) == proof, place)
        let hash = story.hash(head)
        let again = try RouteProof.check(bytes, head: hash, at: head)
        #expect(again == proven, place)
        #expect(again.headVersion == story.states[Int(head.rawValue)].version, place)
        // Another head, a true one too, is not the one that it leads to.
        let other = LogPosition(head.rawValue > 1 ? head.rawValue - 1 : 2)
        #expect(
          throws: ProofError.otherHead(head, expected: story.hash(other), found: hash), place
        ) { try RouteProof.check(bytes, head: story.hash(other)) }
        #expect(throws: ProofError.otherPosition(expected: other, found: head), place) {
          try RouteProof.check(bytes, head: hash, at: other)
        }
      }
    }
  }

  /// A proof that starts from a commitment before, and one that starts from one after.
  private static func proofs(_ story: CommittedStory) throws -> [RouteProof] {
    let prover = Prover(story.log, checkpoints: nil)
    var unchanged: RouteProof?
    var folded: RouteProof?
    for number in 2..<story.newest.rawValue {
      for key in keys {
        let proof = try prover.prove(key, at: CatalogVersion(number)).proof
        guard proof.anchor > .zero, proof.runs.count > 1 else { continue }
        if proof.runs[0].entries.count == 1, proof.routes.count == 1, proof.runs.count == 2 {
          unchanged = unchanged ?? proof
        } else if proof.routes.count > 1 {
          folded = folded ?? proof
        }
      }
    }
    return [unchanged, folded].compactMap { $0 }
  }

  /// That a proof is refused, or that what it proves was so.
  private func expectTruth(
    _ proof: RouteProof, _ story: CommittedStory, _ place: Comment
  ) -> Bool {
    let head = story.entries[story.entries.count - 1]
    guard let proven = try? proof.check(head: head.hash) else { return false }
    let route = story.table(proven.version).route(containing: proven.key)
    #expect(proven.version <= story.newest, place)
    #expect(proven.route == route, place)
    #expect(proven.head == head.entry.position, place)
    return true
  }

  @Test(arguments: testSeeds(count: 3))
  func mutatedFilesAreRefused(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let story = try CommittedStory(seed: 5, count: 40, interval: 6, delay: 3)
    let corpus = try Self.proofs(story).map { try $0.encoded() }
    #expect(corpus.count == 2)
    let head = story.entries[story.entries.count - 1].hash
    var (truths, refusals) = (0, 0)
    for round in 0..<800 {
      let place: Comment = "seed \(seed), round \(round)"
      let original = corpus.randomElement(using: &generator) ?? []
      var bytes = original
      let offset = Int.random(in: 0..<bytes.count, using: &generator)
      switch Int.random(in: 0..<5, using: &generator) {
      case 0: bytes[offset] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      case 1: bytes[offset] = UInt8.random(in: 0...255, using: &generator)
      case 2: bytes.removeSubrange(offset..<min(bytes.count, offset + 3))
      case 3: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: offset)
      default: bytes.removeSubrange(offset...)
      }
      guard bytes != original else { continue }
      #expect(throws: ProofError.self, place) { try RouteProof.check(bytes, head: head) }
      // Whoever forges a proof makes the checksum fit.
      guard bytes.count > EntryHash.byteCount else { continue }
      bytes.removeLast(EntryHash.byteCount)
      bytes += bytes.withUnsafeBytes(EntryHash.init(of:)).bytes
      guard let proof = try? RouteProof(decoding: bytes) else {
        refusals += 1
        continue
      }
      #expect(try proof.encoded() == bytes, place)
      if expectTruth(proof, story, place) { truths += 1 } else { refusals += 1 }
    }
    // Another key of the same route is as true.
    #expect(refusals > 400 && truths < 100, "seed \(seed): \(truths) true, \(refusals) refused")
  }

  @Test func forgeriesAreRefusedWithAReason() throws {
    let story = try CommittedStory(seed: 5, count: 40, interval: 6, delay: 3)
    let proofs = try Self.proofs(story)
    let head = story.entries[story.entries.count - 1].hash
    func refusal(_ index: Int, _ forge: (inout RouteProof) throws -> Void) throws -> ProofError? {
      var proof = proofs[index]
      try forge(&proof)
      do throws(ProofError) {
        _ = try proof.check(head: head)
        return nil
      } catch {
        return error
      }
    }
    let (unchanged, folded) = (proofs[0], proofs[1])
    let id = unchanged.routes[0].route.id
    // Another group, another id, and a route that was never there.
    #expect(
      try refusal(0) { $0.routes[0].route.group = GroupID(99) } == .notCommitted(id))
    #expect(
      try refusal(0) { $0.routes[0].route.id = RouteID(id.rawValue + 1) }
        == .notCommitted(id.next))
    #expect(try refusal(0) { $0.routes[0].route.id = RouteID(0) } == .wrongRoutes)
    #expect(try refusal(0) { $0.routes = [] } == .wrongRoutes)
    #expect(try refusal(0) { $0.routes += $0.routes } == .wrongRoutes)
    #expect(try refusal(0) { $0.routes[0].path.removeLast() } == .notCommitted(id))
    // A version before the route became so.
    let since = unchanged.routes[0].route.version
    if since > CatalogVersion(1) {
      let before = CatalogVersion(since.rawValue - 1)
      #expect(try refusal(0) { $0.version = before } == .changedLater(id, at: since))
    }
    // A version that the commitment does not reach.
    #expect(try refusal(0) { $0.version = CatalogVersion(.max) } != nil)
    // Another key, of another route.
    let outside = story.table(unchanged.version).routes(overlapping: .all)
      .first { !$0.span.overlaps(unchanged.routes[0].route.span) }
    if let outside {
      #expect(try refusal(0) { $0.key = outside.span.lower } == .wrongRoutes)
    }
    // Entries that are left out, in the middle, at an end, or all.
    let start = try EncodedEntry(decoding: folded.runs[0].entries[0]).entry.position
    if folded.runs[0].entries.count > 2 {
      #expect(
        try refusal(1) { $0.runs[0].entries.remove(at: 1) } == .brokenRun(start.next.next))
    }
    #expect(try refusal(1) { $0.runs[0].entries.removeLast() } != nil)
    #expect(try refusal(1) { $0.runs.removeFirst() } != nil)
    #expect(try refusal(1) { $0.runs.removeLast() } != nil)
    #expect(try refusal(1) { $0.runs = [] } == .empty)
    #expect(try refusal(1) { $0.runs[0].entries = [] } == .empty)
    #expect(try refusal(1) { $0.runs[0].path = [] } != nil)
    #expect(try refusal(1) { $0.routes.removeLast() } == .wrongRoutes)
    #expect(try refusal(1) { $0.anchor = .zero } == .wrongRoutes)
    #expect(try refusal(1) { $0.anchor = LogPosition(.max) } == .noAnchor(LogPosition(.max)))
    // An entry that was altered, in a run of its own and in one that the head vouches for.
    for index in folded.runs.indices {
      let altered = try refusal(1) { proof in
        var entry = try EncodedEntry(decoding: proof.runs[index].entries[0]).entry
        entry.reason += "!"
        proof.runs[index].entries[0] = try entry.encoded()
      }
      #expect(altered != nil)
    }
    // An entry that is true and of another place.
    let other = story.entries[story.entries.count - 2].bytes
    #expect(try refusal(0) { $0.runs[0].entries[0] = other } != nil)
  }

  @Test func whatCannotBeProvenIsSaid() throws {
    let story = try CommittedStory(seed: 2, count: 20, interval: 4)
    let prover = Prover(story.log, checkpoints: nil)
    let newest = story.newest
    #expect(throws: ProverError.noRoutes(.zero)) { try prover.prove(.least, at: .zero) }
    #expect(throws: ProverError.versionInFuture(newest.next, newest: newest)) {
      try prover.prove(.least, at: newest.next)
    }
    let position = try #require(try story.log.position(of: newest))
    let before = LogPosition(position.rawValue - 1)
    #expect(throws: ProverError.headBeforeVersion(before, newest)) {
      try prover.prove(.least, at: newest, head: before)
    }
    let last = LogPosition(20)
    #expect(
      throws: ProverError.headNotRetained(LogPosition(21), first: LogPosition(1), last: last)
    ) { try prover.prove(.least, at: newest, head: LogPosition(21)) }
  }

  /// A mirror whose log begins after a state that it took over.
  @Test func aMirrorProvesFromItsFirstCommitmentOn() throws {
    var (proven, refused) = (0, 0)
    for seed in UInt64(1)...3 {
      let story = try CommittedStory(seed: seed, count: 60, interval: 16)
      let folder = TemporaryFolder()
      let mirror = try EventLog.create(folder: folder.path, catalog: testCatalog)
      let base = story.states[20]
      try mirror.install(base: base)
      try mirror.append(Array(story.entries[20...]))
      let prover = Prover(mirror, checkpoints: nil)
      let head = story.hash(LogPosition(60))
      for number in (base.version.rawValue + 1)...story.newest.rawValue {
        let version = CatalogVersion(number)
        for key in Self.keys {
          let proof: RouteProof
          do {
            proof = try prover.prove(key, at: version).proof
          } catch {
            #expect(error == .noCommitment(version, first: LogPosition(21)))
            refused += 1
            continue
          }
          #expect(try proof.check(head: head).route == story.table(version).route(containing: key))
          proven += 1
        }
      }
      #expect(
        throws: ProverError.versionNotRetained(CatalogVersion(1), first: LogPosition(21))
      ) { try prover.prove(Key("b"), at: CatalogVersion(1)) }
    }
    #expect(proven > 10 && refused > 0, "\(proven) proven, \(refused) refused")
  }

  /// Proofs of today are read for ever. `CADASTRE_REGENERATE=1` writes the files anew.
  @Test func proofsHaveTheirGoldenBytes() throws {
    let story = try CommittedStory(seed: 5, count: 40, interval: 6, delay: 3)
    let head = story.entries[39].hash
    for (name, proof) in zip(["unchanged", "folded"], try Self.proofs(story)) {
      let proven = try proof.check(head: head)
      let url = fixturesFolder.appending(path: "proofs")
      let hex = try golden(
        HexFile.text(of: [proof.encoded()]), at: url.appending(path: "\(name).hex"))
      let text = try golden(
        """
        head \(proven.headHash)@\(proven.head) time \(proven.headTime) version \(proven.headVersion)
        key \(EntryText.quoted(proven.key.bytes)) version \(proven.version)
        \(EntryText.text(of: proven.route))

        """, at: url.appending(path: "\(name).txt"))
      let bytes = try #require(HexFile.entries(in: hex)?.first)
      #expect(try RouteProof(decoding: bytes) == proof)
      #expect(try RouteProof.check(bytes, head: head) == proven)
      #expect(text.contains("head \(head)@40 "))
      #expect(text.contains(EntryText.text(of: proven.route)))
    }
  }

  @Test func bytesThatAreNoProofAreNamed() throws {
    let head = EntryHash.genesis(of: testCatalog)
    for (bytes, error) in [
      ([], RouteProof.CodingError.notAProof), (Array("CDEF".utf8), .notAProof),
      (Array("CDP".utf8) + [2], .unknownFormat(2)), (Array("CDP".utf8) + [1], .damaged),
      (Array("CDP".utf8) + [1] + [UInt8](repeating: 0, count: 40), .damaged),
    ] {
      #expect(throws: ProofError.unreadable(error)) { try RouteProof.check(bytes, head: head) }
    }
    let empty = RouteProof(
      key: .least, version: CatalogVersion(1), anchor: .zero, routes: [], runs: [])
    #expect(throws: ProofError.empty) { try RouteProof.check(try empty.encoded(), head: head) }
    var bytes = Array("CDP".utf8) + [1, 0, 1, 0, 0, 0, 7]
    bytes += bytes.withUnsafeBytes(EntryHash.init(of:)).bytes
    #expect(throws: ProofError.unreadable(.malformed(offset: 9))) {
      try RouteProof.check(bytes, head: head)
    }
  }
}

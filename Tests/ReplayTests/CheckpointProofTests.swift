import Catalog
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// Checkpoints that are proven without a replay.
@Suite struct CheckpointProofTests {
  let folder = TemporaryFolder()
  let clock = TestClock()

  /// A store with some checkpoints, thirty cuts apart.
  private func store(checkpoints count: UInt64) async throws -> CatalogStore {
    var options = StoreOptions()
    options.checkpoints = .onRequest
    options.log.initialMapSize = 64 << 10
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: options, wallMilliseconds: clock.read)
    _ = try await store.submit(command(1, oneRoute))
    for number in 1..<count * 30 {
      // Not in order, so that the cuts go to different leaves.
      _ = try await store.submit(command(number + 1, split(padded(number * 7_919 % 10_000))))
      if number % 30 == 29 { try await store.checkpointNow() }
    }
    return store
  }

  @Test func soundCheckpointsAreProven() async throws {
    let store = try await store(checkpoints: 6)
    defer { store.close() }
    let checkpoints = try #require(store.checkpoints)
    let roots = try checkpoints.roots()
    #expect(roots.count == 6)
    for (index, root) in roots.enumerated() {
      try checkpoints.prove(root)
      for proven in roots[...index] { try checkpoints.prove(root, since: proven) }
      // Backwards too: then all of it is read.
      try checkpoints.prove(root, since: roots.last)
    }
    try checkpoints.dropRoot(roots[2].version)
    #expect(throws: StoreError.noCheckpoint(roots[2].version)) { try checkpoints.prove(roots[2]) }
    #expect(throws: StoreError.noCheckpoint(roots[2].version)) {
      try checkpoints.prove(roots[3], since: roots[2])
    }
    try checkpoints.prove(roots[3], since: roots[1])
  }

  /// A damaged node is found by all checkpoints that can see it, and by no others.
  @Test(arguments: testSeeds(count: 2))
  func damagedNodesAreFound(seed: UInt64) async throws {
    var random = SeededGenerator(seed: seed)
    let store = try await store(checkpoints: 3)
    defer { store.close() }
    let checkpoints = try #require(store.checkpoints)
    let roots = try checkpoints.roots()
    var found = 0
    for id in try checkpoints.nodeIDs() {
      var bytes = try checkpoints.nodeBytes(id)
      let offset = Int.random(in: 0..<bytes.count, using: &random)
      bytes[offset] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      let good = try checkpoints.nodeBytes(id)
      try checkpoints.putNode(bytes, id)
      for root in roots {
        do {
          try checkpoints.prove(root)
          #expect(throws: Never.self) { try checkpoints.load(root) }
        } catch {
          found += 1
          guard case .checkpointDamaged(root.version, let what) = error else {
            Issue.record("seed \(seed): \(error)")
            continue
          }
          #expect(what.contains("node \(id):"), "seed \(seed): \(what)")
          #expect(throws: error) { try checkpoints.load(root) }
        }
      }
      try checkpoints.putNode(good, id)
    }
    #expect(found > 0)
    for root in roots { try checkpoints.prove(root) }
  }

  /// A root that says another digest than its routes have.
  @Test func anotherDigestIsFound() async throws {
    let store = try await store(checkpoints: 2)
    defer { store.close() }
    let checkpoints = try #require(store.checkpoints)
    let roots = try checkpoints.roots()
    var forged = roots[1]
    forged.header.digest += StateDigest(ofRecord: UnsafeRawBufferPointer(start: nil, count: 0))
    try checkpoints.putRoot(forged)
    for proven in [nil, roots[0]] {
      let error = #expect(throws: StoreError.self) { try checkpoints.prove(forged, since: proven) }
      guard case .checkpointDamaged(forged.version, _) = error else {
        Issue.record("\(String(describing: error))")
        continue
      }
    }
  }
}

extension CheckpointStore {
  fileprivate func nodeBytes(_ id: UInt64) throws -> [UInt8] {
    let bytes = try environment.read { transaction throws(StoreError) in
      try transaction.value(of: id, in: tables.nodes) { Array($0) }
    }
    return try #require(bytes)
  }

  fileprivate func putNode(_ node: [UInt8], _ id: UInt64) throws(StoreError) {
    try environment.write { transaction throws(StoreError) in
      try node.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: id, in: tables.nodes)
      }
    }
  }

  fileprivate func putRoot(_ root: CheckpointRoot) throws(StoreError) {
    try environment.write { transaction throws(StoreError) in
      try root.bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: root.version.rawValue, in: tables.roots)
      }
    }
  }
}

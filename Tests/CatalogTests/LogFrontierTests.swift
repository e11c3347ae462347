import Catalog
import TestSupport
import Testing

/// The log's tree against the definition of RFC 6962, word for word.
@Suite struct LogFrontierTests {
  private static func hashes(_ count: Int, using generator: inout SeededGenerator) -> [EntryHash] {
    (0..<count).map { _ in
      EntryHash(bytes: (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) })
        ?? .genesis(of: goldenCatalog)
    }
  }

  private static func reference(_ hashes: ArraySlice<EntryHash>) -> MerkleHash {
    guard hashes.count > 1 else {
      return hashes.first.map { MerkleHash(leaf: $0.bytes) } ?? .emptyLog
    }
    var size = 1
    while size * 2 < hashes.count { size *= 2 }
    let middle = hashes.startIndex + size
    return MerkleHash(reference(hashes[..<middle]), reference(hashes[middle...]))
  }

  @Test func anEmptyLogHasTheHashOfNothing() {
    #expect(
      "\(LogFrontier().root)"
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  }

  @Test(arguments: testSeeds(count: 2))
  func rootsAndPathsAreThoseOfTheDefinition(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let hashes = Self.hashes(70, using: &generator)
    var frontier = LogFrontier()
    for count in 1...hashes.count {
      frontier.append(hashes[count - 1])
      let root = Self.reference(hashes[..<count])
      #expect(frontier.root == root, "seed \(seed), \(count)")
      #expect(frontier.position == LogPosition(UInt64(count)))
      #expect(LogFrontier(count: frontier.count, nodes: frontier.nodes) == frontier)
      for (entries, node) in frontier.subtrees {
        #expect(Self.reference(hashes[Int(entries.lowerBound)..<Int(entries.upperBound)]) == node)
      }
      #expect(frontier.subtrees.last?.entries.upperBound == UInt64(count))
      for index in 0..<count {
        let position = LogPosition(UInt64(index + 1))
        let path = LogInclusion.path(of: position, count: UInt64(count)) {
          Self.reference(hashes[Int($0.lowerBound)..<Int($0.upperBound)])
        }
        func proven(_ hash: EntryHash, _ position: LogPosition, _ path: [MerkleHash]) -> Bool {
          LogInclusion.root(of: hash, at: position, count: UInt64(count), path: path) == root
        }
        #expect(proven(hashes[index], position, path), "seed \(seed), \(index) of \(count)")
        let other = hashes[(index + 1) % hashes.count]
        #expect(!proven(other, position, path))
        let wrong = LogPosition(UInt64((index + 1) % count + 1))
        #expect(count == 1 || !proven(hashes[index], wrong, path))
        #expect(path.isEmpty || !proven(hashes[index], position, path.dropLast()))
        #expect(!proven(hashes[index], position, path + [root]))
        #expect(!proven(hashes[index], .zero, path))
        #expect(!proven(hashes[index], LogPosition(UInt64(count + 1)), path))
      }
    }
    #expect(LogFrontier(count: 3, nodes: [.empty]) == nil)
  }

  @Test func hostilePathsEnd() {
    let long = [MerkleHash](repeating: .empty, count: 200)
    let hash = EntryHash.genesis(of: goldenCatalog)
    for position in [1, 2, UInt64.max - 1, .max] {
      for count in [0, 1, UInt64.max - 1, .max] {
        let root = LogInclusion.root(
          of: hash, at: LogPosition(position), count: count, path: long)
        #expect(root == nil)
      }
    }
  }
}

private let goldenCatalog =
  CatalogID(bytes: Array("cadastre-golden1".utf8))
  ?? { preconditionFailure("sixteen bytes") }()

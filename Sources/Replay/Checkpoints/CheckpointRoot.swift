import Catalog
import StateMachines

/// A checkpoint of one version: the header of its state, and where the trees of its routes begin.
///
/// The hashes of the trees' roots vouch for every node below them, and the row's own for the hashes.
package struct CheckpointRoot: Hashable, Sendable {
  /// The state without its routes.
  package var header: StateHeader
  package var routeCount: Int
  /// By start key, by id, by group.
  package var trees: [StoredTree]
  /// The ids of the nodes that were written for this checkpoint: a node's id tells its birth.
  package var nodes: Range<UInt64>

  package var version: CatalogVersion { header.version }
  package var position: LogPosition { header.position }

  package static let treeCount = 3
  private static let treeByteCount = 8 + EntryHash.byteCount + 8 + 8
  /// How many bytes a row has when its state has no members.
  package static let byteCount =
    BaseHeader.fieldByteCount + treeCount * treeByteCount + 16 + EntryHash.byteCount

  package init(
    header: StateHeader, routeCount: Int, trees: [StoredTree], nodes: Range<UInt64>
  ) {
    precondition(trees.count == Self.treeCount, "a table has three trees")
    self.header = header
    self.routeCount = routeCount
    self.trees = trees
    self.nodes = nodes
  }

  /// The fields in order, numbers little-endian, then the SHA-256 of those bytes.
  package var bytes: [UInt8] {
    var bytes = BaseHeader(header, routeCount: routeCount).fields
    bytes.reserveCapacity(Self.byteCount)
    func add(_ number: UInt64) {
      withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }
    for tree in trees {
      add(tree.root?.id ?? 0)
      bytes += tree.root?.hash.bytes ?? [UInt8](repeating: 0, count: EntryHash.byteCount)
      add(UInt64(tree.height))
      add(UInt64(tree.count))
    }
    add(nodes.lowerBound)
    add(nodes.upperBound)
    return bytes + bytes.withUnsafeBytes(EntryHash.init(of:)).bytes
  }

  /// Reads what ``bytes`` writes; nil when it is anything else. No bytes trap.
  package init?(_ bytes: UnsafeRawBufferPointer, of catalog: CatalogID) {
    let headerByteCount = bytes.count - (Self.byteCount - BaseHeader.fieldByteCount)
    guard
      headerByteCount == BaseHeader.fieldByteCount
        || headerByteCount == BaseHeader.fieldByteCount(hasMembers: true)
    else { return nil }
    let fields = UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - EntryHash.byteCount)])
    guard let checksum = EntryHash(bytes: bytes[fields.count...]),
      checksum == EntryHash(of: fields),
      let state = BaseHeader(
        fields: UnsafeRawBufferPointer(rebasing: fields[..<headerByteCount])),
      state.position <= .last, let routeCount = Int(exactly: state.routeCount)
    else { return nil }
    func number(at offset: Int) -> UInt64 {
      UInt64(littleEndian: fields.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
    var trees: [StoredTree] = []
    var offset = headerByteCount
    for _ in 0..<Self.treeCount {
      let (id, height, count) = (
        number(at: offset), number(at: offset + 40), number(at: offset + 48)
      )
      guard let hash = EntryHash(bytes: fields[(offset + 8)..<(offset + 40)]), height <= 64,
        let count = Int(exactly: count), (id == 0) == (count == 0), (id == 0) == (height == 0)
      else { return nil }
      let root = id == 0 ? nil : StoredNodeReference(id: id, hash: hash)
      guard root != nil || hash.bytes.allSatisfy({ $0 == 0 }) else { return nil }
      trees.append(StoredTree(root: root, height: Int(height), count: count))
      offset += Self.treeByteCount
    }
    let (first, end) = (number(at: offset), number(at: offset + 8))
    guard first > 0, first <= end, trees.allSatisfy({ $0.count == routeCount }),
      trees.allSatisfy({ ($0.root?.id ?? 0) < end })
    else { return nil }
    self.init(
      header: state.state(of: catalog), routeCount: routeCount, trees: trees, nodes: first..<end)
  }
}

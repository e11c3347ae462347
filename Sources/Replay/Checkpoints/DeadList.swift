/// The ids of nodes that one root can see and the next one cannot, ascending.
///
/// A root sees the nodes that were written for it or before and that no root since their birth has
/// listed as dead. So when a root goes, its neighbours' lists tell which nodes go with it, and no
/// tree is walked.
struct DeadList: Hashable, Sendable {
  private(set) var ids: [UInt64]

  init(_ ids: [UInt64] = []) { self.ids = ids.sorted() }

  /// What becomes of the lists when a root is dropped.
  struct Contraction: Hashable, Sendable {
    /// The nodes that only the dropped root could see.
    var freed: [UInt64]
    /// The list of the root after it, which now follows the one before.
    var next: DeadList
  }

  /// Drops the root with this list, which stands between a root whose nodes have ids below `floor`
  /// (1 when there is none) and the root with the list `next`. O(*m*).
  ///
  /// What `next` lists as dead and was born after the root before was seen by the dropped root
  /// alone. What it lists of older nodes, and what the dropped root had listed, the root before
  /// can see still.
  func contracted(into next: DeadList, floor: UInt64) -> Contraction {
    let firstFreed = next.ids.partitioningIndex { $0 >= floor }
    return Contraction(
      freed: Array(next.ids[firstFreed...]),
      // Without a root before, nobody can see any of it.
      next: DeadList(floor <= 1 ? [] : ids + next.ids[..<firstFreed]))
  }

  /// The ids in order, 8 bytes each, little-endian.
  var bytes: [UInt8] {
    [UInt8](unsafeUninitializedCapacity: ids.count * 8) { buffer, count in
      for id in ids {
        withUnsafeBytes(of: id.littleEndian) { raw in
          for byte in raw {
            buffer[count] = byte
            count += 1
          }
        }
      }
    }
  }

  /// Reads what ``bytes`` writes; nil when it is anything else.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count % 8 == 0 else { return nil }
    ids = stride(from: 0, to: bytes.count, by: 8).map { offset in
      UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
    guard ids.first != 0, zip(ids, ids.dropFirst()).allSatisfy({ $0 < $1 }) else { return nil }
  }
}

extension RandomAccessCollection {
  /// The first index whose element, and all after it, fulfil the predicate. O(log *n*).
  fileprivate func partitioningIndex(where isAfter: (Element) -> Bool) -> Index {
    var (low, count) = (startIndex, self.count)
    while count > 0 {
      let middle = index(low, offsetBy: count / 2)
      if isAfter(self[middle]) {
        count /= 2
      } else {
        low = index(after: middle)
        count -= count / 2 + 1
      }
    }
    return low
  }
}

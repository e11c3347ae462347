import Catalog

/// The keys of a file with the name of what owns each, packed: a million keys cost little more than
/// their bytes.
package struct KeyList: Sendable {
  private struct Row {
    var offset: Int
    var count: Int32
    var owner: UInt32
  }

  /// How a list came to be sorted.
  package struct Tidying: Hashable, Sendable {
    /// Whether some key sorted before the one ahead of it.
    package var sorted = false
    /// How many keys were there before.
    package var duplicates = 0
  }

  private let dropsRepeats: Bool
  /// How many keys were not added since they repeat the one before.
  private var repeats = 0
  private var bytes: [UInt8] = []
  private var rows: [Row] = []
  private var owners: [[UInt8]] = []
  private var ownerNumbers: [[UInt8]: UInt32] = [:]

  /// - Parameter dropsRepeats: Whether a key that repeats the one before it is left out at once: a
  ///   small compressed file can hold a billion of them.
  package init(dropsRepeats: Bool = false) { self.dropsRepeats = dropsRepeats }

  /// How many bytes the keys and the names of their owners have.
  package private(set) var byteCount = 0
  package var count: Int { rows.count }
  package var isEmpty: Bool { rows.isEmpty }

  /// The key at `index`. Copies its bytes.
  package func key(at index: Int) -> Key {
    let row = rows[index]
    return Key(unchecked: Array(bytes[row.offset..<row.offset + Int(row.count)]))
  }

  /// The name of what owns the key at `index`: any bytes, none where the file names nobody.
  package func owner(at index: Int) -> [UInt8] { owners[Int(rows[index].owner)] }

  /// Adds a key behind the others, whatever its order.
  ///
  /// - Throws: ``KeyError/tooLong(byteCount:)``.
  package mutating func append(key: UnsafeRawBufferPointer, owner: UnsafeRawBufferPointer)
    throws(KeyError)
  {
    guard key.count <= Key.maximumLength else { throw .tooLong(byteCount: key.count) }
    if dropsRepeats, let last = rows.last {
      let isRepeat = bytes.withUnsafeBytes {
        UnsafeRawBufferPointer(rebasing: $0[last.offset...]).elementsEqual(key)
      }
      guard !isRepeat else {
        repeats += 1
        return
      }
    }
    let offset = bytes.count
    bytes.append(contentsOf: key)
    byteCount += key.count
    rows.append(Row(offset: offset, count: Int32(key.count), owner: number(of: owner)))
  }

  private mutating func number(of owner: UnsafeRawBufferPointer) -> UInt32 {
    // Neighbours in a sorted file mostly have one owner.
    if let last = rows.last, owners[Int(last.owner)].elementsEqual(owner) { return last.owner }
    let name = Array(owner)
    if let number = ownerNumbers[name] { return number }
    let number = UInt32(owners.count)
    owners.append(name)
    byteCount += name.count
    ownerNumbers[name] = number
    return number
  }

  /// Brings the keys into order, each once; of equal keys the one that came first stays.
  ///
  /// O(*n*) when they are in order already, else O(*n* log *n*).
  package mutating func tidy() -> Tidying {
    var tidying = Tidying(duplicates: repeats)
    bytes.withUnsafeBytes { bytes in
      func text(_ row: Row) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[row.offset..<row.offset + Int(row.count)])
      }
      func order(_ left: Row, _ right: Row) -> Int { text(left).compare(text(right)) }

      tidying.sorted = zip(rows, rows.dropFirst()).contains { order($0, $1) > 0 }
      if tidying.sorted {
        rows.sort { left, right in
          let order = order(left, right)
          return order == 0 ? left.offset < right.offset : order < 0
        }
      }
      var kept: [Row] = []
      kept.reserveCapacity(rows.count)
      for row in rows {
        if let last = kept.last, order(last, row) == 0 {
          tidying.duplicates += 1
        } else {
          kept.append(row)
        }
      }
      rows = kept
    }
    return tidying
  }
}

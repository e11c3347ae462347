/// Makes the nodes of one stored tree in memory.
struct TreeLoader {
  private let kind: StoredTreeKind
  private let expectedCount: Int
  private let nextRouteID: RouteID
  private let store: IndexStore
  private let birth: UInt64
  /// What was made so far, children before parents.
  private(set) var nodes: StoredNodeList = []
  /// How many entries the leaves have so far.
  private(set) var entryCount = 0
  /// The children of the nodes that are being made, from the root down.
  private var children: [RouteIndex.Node] = []

  init(
    _ kind: StoredTreeKind, count: Int, nextRouteID: RouteID, in store: IndexStore, birth: UInt64
  ) {
    self.kind = kind
    expectedCount = count
    self.nextRouteID = nextRouteID
    self.store = store
    self.birth = birth
  }

  mutating func load<Failure: StoredNodeFailure>(
    _ reference: StoredNodeReference, _ place: StoredNode.Place,
    _ read: (UInt64) throws(Failure) -> UnsafeRawBufferPointer?
  ) throws(Failure) -> RouteIndex.Node {
    let bytes = try read(reference.id)
    let stored: StoredNode
    do throws(StoredNodeError) {
      stored = try StoredNode.proven(bytes, reference, place)
      if stored.level == 0 { try take(stored, reference, isFirst: place.low == nil) }
    } catch {
      throw .damagedNode(error)
    }
    let first = children.count
    for position in 0..<stored.childCount {
      let child = try load(
        stored.child(at: position), stored.place(ofChild: position, in: place), read)
      children.append(child)
    }
    do throws(StoredNodeError.Problem) {
      let node = try stored.makeNode(in: store, children: children[first...], birth: birth)
      children.removeSubrange(first...)
      nodes.append((node, reference))
      return node
    } catch {
      throw .damagedNode(StoredNodeError(error, node: reference.id))
    }
  }

  /// Checks the entries of a leaf, and counts them: a tree that has more than it should is given up
  /// where that shows.
  private mutating func take(
    _ leaf: StoredNode, _ reference: StoredNodeReference, isFirst: Bool
  ) throws(StoredNodeError) {
    entryCount += leaf.count
    do throws(StoredNodeError.Problem) {
      guard entryCount <= expectedCount else {
        throw .wrongCount(expected: expectedCount, found: entryCount)
      }
      try leaf.checkEntries(of: kind, below: nextRouteID)
      if kind == .byStart, isFirst, leaf.key(at: 0).count > 0 { throw .noFirstRoute }
    } catch {
      throw StoredNodeError(error, node: reference.id)
    }
  }
}

extension StoredNode {
  /// That the entries of a leaf are of the form that those of a tree have, with ids that were given.
  func checkEntries(
    of kind: StoredTreeKind, below nextRouteID: RouteID
  ) throws(StoredNodeError.Problem) {
    for position in 0..<count {
      let key = key(at: position)
      let payload = payload(at: position)
      let id: UInt64
      switch kind {
      case .byStart:
        guard key.count <= Key.maximumLength else { throw .badEntry(position: position) }
        do throws(LogCodingError) {
          id = try RouteRow(checking: payload).id
        } catch {
          throw .badRow(position: position, error)
        }
      case .byID:
        guard key.count == 8, payload.count <= Key.maximumLength else {
          throw .badEntry(position: position)
        }
        id = key.lastNumber
      case .byGroup:
        guard key.count == 16, payload.isEmpty else { throw .badEntry(position: position) }
        id = key.lastNumber
      }
      guard id > 0, id < nextRouteID.rawValue else { throw .badEntry(position: position) }
    }
  }
}

extension StoredKey {
  /// The last 8 bytes as a big-endian number.
  ///
  /// - Precondition: The key has as many.
  var lastNumber: UInt64 { number(from: count - 8) }

  /// The 8 bytes from `offset` on as a big-endian number.
  ///
  /// - Precondition: The key has as many.
  func number(from offset: Int) -> UInt64 {
    var value: UInt64 = 0
    for position in offset..<offset + 8 {
      let byte = position < prefix.count ? prefix[position] : suffix[position - prefix.count]
      value = value << 8 | UInt64(byte)
    }
    return value
  }
}

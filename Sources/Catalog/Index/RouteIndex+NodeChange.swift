// Changes in place, of nodes that were born in the edit at hand and that nobody else sees yet.
extension RouteIndex.Node {
  /// Whether one more entry fits into the allocation as it is laid out.
  func hasRoom(suffixLength: Int, payloadLength: Int) -> Bool {
    let inHeads = 8 * headsPerKey
    return count < capacity && (headsPerKey == 2 || suffixLength <= 8)
      && variableCount + max(0, suffixLength - inHeads) + payloadLength <= variableCapacity
  }

  /// Inserts an entry, in a leaf; `suffix` is the key past the prefix.
  ///
  /// - Precondition: ``hasRoom(suffixLength:payloadLength:)``, and `skip` is
  ///   ``skip(inserting:at:)``.
  func insert(
    suffix: UnsafeRawBufferPointer, skip: Int, payload: UnsafeRawBufferPointer, at position: Int
  ) {
    insertKey(suffix: suffix, skip: skip, payloadLength: payload.count, at: position)
    let start = Int(ends[position]) - payload.count
    UnsafeMutableRawBufferPointer(start: variable + start, count: payload.count)
      .copyMemory(from: payload)
  }

  /// Inserts a separator and the child on its right, in an inner node.
  ///
  /// - Precondition: As for ``insert(suffix:skip:payload:at:)``.
  func insert(
    suffix: UnsafeRawBufferPointer, skip: Int, child: RouteIndex.Node, at position: Int
  ) {
    let children = children
    (children + position + 2).update(from: children + position + 1, count: count - position)
    children[position + 1] = child.childWord
    insertKey(suffix: suffix, skip: skip, payloadLength: 0, at: position)
  }

  private func insertKey(
    suffix: UnsafeRawBufferPointer, skip: Int, payloadLength: Int, at position: Int
  ) {
    let count = count
    let words = headsPerKey
    let ends = ends
    let lengths = lengths
    let added = max(0, suffix.count - 8 * words) + payloadLength
    precondition(count < capacity && variableCount + added <= variableCapacity)

    let start = end(of: position - 1)
    let moved = variableCount - start
    if moved > 0 {
      (variable + start + added).copyMemory(from: variable + start, byteCount: moved)
    }
    (lengths + position + 1).update(from: lengths + position, count: count - position)
    var later = count
    while later > position {
      ends[later] = ends[later - 1] &+ UInt16(truncatingIfNeeded: added)
      later -= 1
    }
    for word in 0..<words {
      let heads = heads(word)
      (heads + position + 1).update(from: heads + position, count: count - position)
    }
    if words == 2 {
      let skips = skips
      (skips + position + 1).update(from: skips + position, count: count - position)
    }
    setKey(suffix, skip: skip, at: position, tailOffset: start)
    ends[position] = UInt16(start + added)
    setCount(count + 1)
  }

  /// Replaces the payload of an entry.
  ///
  /// - Precondition: The variable area has room for the difference.
  func replacePayload(at position: Int, with payload: UnsafeRawBufferPointer) {
    let old = self.payload(at: position)
    let difference = payload.count - old.count
    let start = Int(ends[position]) - old.count
    if difference != 0 {
      precondition(variableCount + difference <= variableCapacity)
      let moved = variableCount - Int(ends[position])
      (variable + start + payload.count).copyMemory(
        from: variable + start + old.count, byteCount: moved)
      for later in position..<count { ends[later] = UInt16(Int(ends[later]) + difference) }
    }
    UnsafeMutableRawBufferPointer(start: variable + start, count: payload.count)
      .copyMemory(from: payload)
  }

  /// Removes an entry, in a leaf.
  func removeEntry(at position: Int) {
    let count = count
    let words = headsPerKey
    let start = end(of: position - 1)
    let end = Int(ends[position])
    let variableCount = variableCount
    (variable + start).copyMemory(from: variable + end, byteCount: variableCount - end)
    let after = count - position - 1
    for word in 0..<words {
      (heads(word) + position).update(from: heads(word) + position + 1, count: after)
    }
    if words == 2 { (skips + position).update(from: skips + position + 1, count: after) }
    (lengths + position).update(from: lengths + position + 1, count: after)
    for later in position..<(count - 1) {
      ends[later] = ends[later + 1] - UInt16(end - start)
    }
    setCount(count - 1)
  }

  /// Removes a separator and the child on its right, in an inner node.
  func removeSeparator(at position: Int) {
    (children + position + 1).update(
      from: children + position + 2, count: count - position - 1)
    removeEntry(at: position)
  }
}

extension RouteIndex.Node {
  /// A copy for the edit with the serial `birth`, laid out exactly like this node.
  func copied(in store: IndexStore, birth: UInt64) -> RouteIndex.Node {
    let size = byteCount
    let copy = store.allocate(blockSize: size)
    copy.base.copyMemory(from: base, byteCount: size)
    copy.setBirth(birth)
    return copy
  }

  /// A copy with room for one more entry, and for some that may follow it, though not for more than
  /// the `limit` of keys in a node of this level.
  func copied(
    in store: IndexStore, birth: UInt64, limit: Int, suffixLength: Int, payloadLength: Int
  ) -> RouteIndex.Node {
    let count = count
    let words = suffixLength > 8 ? 2 : headsPerKey
    // Room for an eighth more, so that a run of inserts does not copy the node each time.
    let added = max(0, suffixLength - 8 * words) + payloadLength
    let slots = max(count + 1, min(limit, count + 2 + count / 8))
    let bytes =
      variableCount + added + (slots - count) * (added + variableCount / max(count, 1)) / 2
    let copy = RouteIndex.Node.allocate(
      in: store, level: level, capacity: slots, headsPerKey: words,
      variableCapacity: min(bytes, max(RouteIndex.Node.variableLimit, variableCount + added)),
      birth: birth)
    copyContents(to: copy)
    return copy
  }

  /// Copies prefix, keys, payloads and children to a node with as much room and at least as many
  /// heads a key.
  private func copyContents(to copy: RouteIndex.Node) {
    let count = count
    copy.heads(0).update(from: heads(0), count: count)
    if headsPerKey == 2 {
      copy.heads(1).update(from: heads(1), count: count)
      copy.skips.update(from: skips, count: count)
    } else if copy.headsPerKey == 2 {
      // With one head a key nothing of any key lies past it.
      copy.heads(1).update(repeating: 0, count: count)
      copy.skips.update(repeating: 0, count: count)
    }
    copy.ends.update(from: ends, count: count)
    copy.lengths.update(from: lengths, count: count)
    if level > 0 { copy.children.update(from: children, count: count + 1) }
    copy.variable.copyMemory(from: variable, byteCount: variableCount)
    copy.base.storeBytes(
      of: UInt16(prefixLength), toByteOffset: Offset.prefixLength, as: UInt16.self)
    copy.setCount(count)
  }
}

/// Writes nodes in the form in which they are stored; see ``StoredNode``.
struct StoredNodeEncoder {
  private var buffer = [UInt8](repeating: 0, count: StoredNode.maximumByteCount)

  /// Lends the bytes of a node whose children, if any, are stored as `children` say.
  mutating func withBytes<Result, Failure: Error>(
    of node: RouteIndex.Node, children: ArraySlice<StoredNodeReference>,
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    precondition(node.level == 0 || children.count == node.count + 1)
    var failure: Failure?
    let result: Result? = buffer.withUnsafeMutableBytes { buffer in
      var writer = StoredNodeWriter(buffer)
      writer.byte(StoredNode.format)
      writer.byte(UInt8(node.level))
      writer.byte(UInt8(node.count))
      writer.varint(node.prefixLength)
      writer.bytes(UnsafeRawBufferPointer(start: node.variable, count: node.prefixLength))
      for position in 0..<node.count {
        writer.varint(node.suffixLength(at: position))
        writer.suffix(of: node, at: position)
        if node.level == 0 {
          let payload = node.payload(at: position)
          writer.varint(payload.count)
          writer.bytes(payload)
        }
      }
      if node.level > 0 {
        for child in children {
          writer.fixed64(child.id)
          child.hash.withBytes { writer.bytes($0) }
        }
      }
      do throws(Failure) {
        return try body(writer.written)
      } catch {
        failure = error
        return nil
      }
    }
    if let failure { throw failure }
    guard let result else { preconditionFailure("a body that returned has a result") }
    return result
  }
}

/// Writes into a buffer that has room for any node.
private struct StoredNodeWriter {
  private let buffer: UnsafeMutableRawBufferPointer
  private var count = 0

  init(_ buffer: UnsafeMutableRawBufferPointer) { self.buffer = buffer }

  var written: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: buffer[..<count]) }

  mutating func byte(_ value: UInt8) {
    buffer[count] = value
    count += 1
  }

  mutating func fixed64(_ value: UInt64) {
    precondition(count + 8 <= buffer.count)
    buffer.storeBytes(of: value.littleEndian, toByteOffset: count, as: UInt64.self)
    count += 8
  }

  mutating func varint(_ value: Int) {
    var rest = value
    while rest >= 0x80 {
      byte(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    byte(UInt8(rest))
  }

  mutating func bytes(_ bytes: UnsafeRawBufferPointer) {
    UnsafeMutableRawBufferPointer(rebasing: buffer[count..<count + bytes.count])
      .copyMemory(from: bytes)
    count += bytes.count
  }

  mutating func suffix(of node: RouteIndex.Node, at position: Int) {
    let length = node.suffixLength(at: position)
    let target = UnsafeMutableRawBufferPointer(rebasing: buffer[count..<count + length])
    if let start = target.baseAddress { node.copySuffix(at: position, to: start) }
    count += length
  }
}

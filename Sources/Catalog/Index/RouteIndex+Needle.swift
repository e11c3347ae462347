extension RouteIndex {
  /// A key that is looked for: borrowed bytes.
  struct Needle {
    let start: UnsafeRawPointer
    let count: Int

    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer) {
      // An empty buffer may have no address; nothing is ever read through this one.
      start = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 16).unsafelyUnwrapped
      count = bytes.count
    }

    /// The 8 bytes from `offset` on as a big-endian number, padded with zeros past the end.
    @inline(__always)
    func head(at offset: Int) -> UInt64 {
      if offset &+ 8 <= count {
        return UInt64(bigEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
      }
      return partialHead(at: offset)
    }

    @inline(__always)
    private func partialHead(at offset: Int) -> UInt64 {
      guard offset < count else { return 0 }
      if count >= 8 {
        // Reads the last 8 bytes and shifts out those before `offset`.
        let last = UInt64(
          bigEndian: start.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self))
        return last &<< UInt64(truncatingIfNeeded: 8 &* (offset &+ 8 &- count))
      }
      return shortHead(at: offset)
    }

    @inline(never)
    private func shortHead(at offset: Int) -> UInt64 {
      var head: UInt64 = 0
      for position in offset..<count {
        let byte = start.load(fromByteOffset: position, as: UInt8.self)
        head |= UInt64(byte) &<< UInt64(truncatingIfNeeded: 56 &- 8 &* (position &- offset))
      }
      return head
    }

    /// Negative, zero or positive as what the needle has from `offset` on sorts before, starts with
    /// or sorts after `count` bytes, past which 7 more may be read.
    @inline(__always)
    func compare(from offset: Int, with bytes: UnsafeRawPointer, count: Int) -> Int {
      var position = 0
      while position < count {
        let mine = head(at: offset &+ position)
        let theirs = UInt64(
          bigEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
        // What is past the end is shifted out.
        let extra = UInt64(truncatingIfNeeded: max(0, 8 &* (8 &- (count &- position))))
        if (mine ^ theirs) &>> extra != 0 { return mine < theirs ? -1 : 1 }
        position &+= 8
      }
      // Zeros stand for what is past the needle's end.
      return count <= max(0, self.count &- offset) ? 0 : -1
    }

    /// The bytes from `offset` on.
    @inline(__always)
    func suffix(from offset: Int) -> UnsafeRawBufferPointer {
      UnsafeRawBufferPointer(start: start + offset, count: count - offset)
    }
  }
}

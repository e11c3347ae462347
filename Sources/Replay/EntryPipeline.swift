import Catalog

/// Reads entries in slices and decodes the next ones on a second thread while the caller works on
/// the first.
struct EntryPipeline {
  /// How many entries are read in one transaction, and are handed over together.
  var sliceCount = 512
  /// A slice takes no further entry once it has this many bytes.
  var sliceByteCount = 1 << 20
  /// How many slices may be ready before the first is taken.
  var depth = 4

  /// Entries that follow one another.
  struct Slice<Element: Sendable>: Sendable {
    var elements: [Element] = []
    var byteCount = 0
    /// The position of the last of ``elements``.
    var last: LogPosition
    /// What is wrong with the entry that would come next.
    var problem: StoreError?
  }

  /// Hands the entries from `start` up to and including `end` to `body`, in order. `decode` makes of
  /// an entry's bytes what `body` wants; it runs on another thread when there is more than a slice.
  ///
  /// - Throws: What `body` throws; what is wrong with an entry, when `body` has had all before it.
  func run<Element: Sendable>(
    over log: EventLog, from start: LogPosition, through end: LogPosition,
    decode: @escaping @Sendable (UnsafeRawBufferPointer, LogPosition) throws(StoreError) -> Element,
    body: (Slice<Element>) throws(StoreError) -> Void
  ) throws(StoreError) {
    guard start <= end else { return }
    if end.rawValue - start.rawValue < UInt64(sliceCount) {
      var next = start
      while next <= end {
        let slice = slice(of: log, from: next, through: end, decode: decode)
        try EntryPipeline.hand(slice, to: body)
        next = slice.last.next
      }
      return
    }
    let channel = BoundedChannel<Slice<Element>>(capacity: depth)
    let pipeline = self
    let reader = try WorkerThread(name: "log-reader") {
      var next = start
      while next <= end {
        let slice = pipeline.slice(of: log, from: next, through: end, decode: decode)
        next = slice.last.next
        let isLast = slice.problem != nil
        guard channel.send(slice), !isLast else { break }
      }
      channel.close()
    }
    defer {
      channel.close()
      reader.join()
    }
    while true {
      let slices = channel.receive()
      guard !slices.isEmpty else { return }
      for slice in slices { try EntryPipeline.hand(slice, to: body) }
    }
  }

  private static func hand<Element>(
    _ slice: Slice<Element>, to body: (Slice<Element>) throws(StoreError) -> Void
  ) throws(StoreError) {
    if !slice.elements.isEmpty { try body(slice) }
    if let problem = slice.problem { throw problem }
  }

  private func slice<Element>(
    of log: EventLog, from start: LogPosition, through end: LogPosition,
    decode: (UnsafeRawBufferPointer, LogPosition) throws(StoreError) -> Element
  ) -> Slice<Element> {
    var slice = Slice<Element>(last: LogPosition(start.rawValue - 1))
    let count = Int(min(end.rawValue - start.rawValue + 1, UInt64(sliceCount)))
    slice.elements.reserveCapacity(count)
    do throws(StoreError) {
      try log.scan(from: start, maxCount: count, maxBytes: sliceByteCount) {
        (position, bytes) throws(StoreError) in
        slice.elements.append(try decode(bytes, position))
        slice.byteCount += bytes.count
        slice.last = position
      }
      if slice.elements.isEmpty { slice.problem = .gap(expected: start, found: end.next) }
    } catch {
      slice.problem = error
    }
    return slice
  }
}

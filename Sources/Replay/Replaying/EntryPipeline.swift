import Catalog

/// Reads entries in slices and decodes the next ones on a second thread while the caller works on
/// the first.
struct EntryPipeline {
  /// How many entries are read in one transaction, and are handed over together.
  var sliceCount = 512
  /// A slice takes no further entry once it has this many bytes.
  var sliceByteCount = 1 << 20
  /// How many slices may be ready before the first is taken; with none, whoever asks for a slice
  /// reads it.
  var depth = 16

  /// Entries that follow one another.
  struct Slice<Element: Sendable>: Sendable {
    var elements: [Element] = []
    var byteCount = 0
    /// The position of the last of ``elements``.
    var last: LogPosition
    /// What is wrong with the entry that would come next.
    var problem: StoreError?
  }

  /// The entries from `start` up to and including `end`, slice by slice. `decode` makes of an
  /// entry's bytes what is wanted; it runs on another thread when there is more than a slice.
  func source<Element: Sendable>(
    over log: any CatalogLog, from start: LogPosition, through end: LogPosition,
    decode: @escaping @Sendable (UnsafeRawBufferPointer, LogPosition) throws(StoreError) -> Element
  ) throws(StoreError) -> SliceSource<Element> {
    let pipeline = self
    var next = start
    let read: @Sendable (LogPosition) -> Slice<Element> = { start in
      pipeline.slice(of: log, from: start, through: end, decode: decode)
    }
    guard start <= end, depth > 0, end.rawValue - start.rawValue >= UInt64(sliceCount) else {
      return SliceSource(channel: nil, reader: nil) {
        guard next <= end else { return nil }
        let slice = read(next)
        next = slice.problem == nil ? slice.last.next : end.next
        return slice
      }
    }
    let channel = BoundedChannel<Slice<Element>>(capacity: depth)
    let reader = try WorkerThread(name: "log-reader") {
      var next = start
      while next <= end {
        let slice = read(next)
        next = slice.last.next
        let isLast = slice.problem != nil
        guard channel.send(slice), !isLast else { break }
      }
      channel.close()
    }
    var ready: [Slice<Element>] = []
    return SliceSource(channel: channel, reader: reader) {
      if ready.isEmpty { ready = channel.receive().reversed() }
      return ready.popLast()
    }
  }

  private func slice<Element>(
    of log: any CatalogLog, from start: LogPosition, through end: LogPosition,
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

/// Slices of a log in order, for one thread to take.
final class SliceSource<Element: Sendable> {
  private let channel: BoundedChannel<EntryPipeline.Slice<Element>>?
  private let reader: WorkerThread?
  private let take: () -> EntryPipeline.Slice<Element>?

  init(
    channel: BoundedChannel<EntryPipeline.Slice<Element>>?, reader: WorkerThread?,
    take: @escaping () -> EntryPipeline.Slice<Element>?
  ) {
    self.channel = channel
    self.reader = reader
    self.take = take
  }

  /// The next slice; nil after the last, or after one with a problem.
  func next() -> EntryPipeline.Slice<Element>? { take() }

  deinit {
    channel?.close()
    reader?.join()
  }
}

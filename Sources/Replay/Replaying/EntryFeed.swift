import Catalog
import StateMachines

/// Hands out the entries of slices one by one. Whoever asks for the next has proven the one before.
final class EntryFeed<Element: HashedEntry>: Sequence, IteratorProtocol {
  /// Why there are no more entries, when it is not that the last was handed out.
  private(set) var problem: StoreError?
  /// How many entries were handed out.
  private(set) var count = 0

  private let source: SliceSource<Element>
  private let onProven: (EntryPipeline.Slice<Element>) throws(StoreError) -> Void
  private var slice: EntryPipeline.Slice<Element>?
  private var offset = 0

  /// `onProven` gets each slice when all its entries are proven; what it throws ends the feed.
  init(
    _ source: SliceSource<Element>,
    onProven: @escaping (EntryPipeline.Slice<Element>) throws(StoreError) -> Void
  ) {
    self.source = source
    self.onProven = onProven
  }

  func next() -> Element? {
    while problem == nil {
      if let slice {
        if offset < slice.elements.count {
          offset += 1
          count += 1
          return slice.elements[offset - 1]
        }
        do throws(StoreError) {
          if !slice.elements.isEmpty { try onProven(slice) }
          problem = slice.problem
        } catch {
          problem = error
        }
        self.slice = nil
      } else {
        slice = source.next()
        offset = 0
        guard slice != nil else { return nil }
      }
    }
    return nil
  }

  /// The entry that was handed out last; nil before the first, and once its slice is done.
  var last: Element? {
    guard let slice, offset > 0 else { return nil }
    return slice.elements[offset - 1]
  }

  /// The entries of the slice at hand but for the one that was handed out last.
  var elementsBeforeLast: [Element] {
    slice.map { Array($0.elements.prefix(Swift.max(0, offset - 1))) } ?? []
  }
}

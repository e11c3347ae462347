import CadastreClient
import CadastreProtocol
import Catalog
import Replay

/// The routes of a table that a filter lets through, cut into pieces that fit into messages: in key
/// order, those of a group by id.
package struct RouteChunks: Sequence, IteratorProtocol {
  private enum Rest {
    case span(KeySpan)
    case group(GroupID, after: RouteID?)
    case nothing
  }

  private let table: RouteTable
  private let byteCount: Int
  private var rest: Rest
  // Fetched in pieces of so many, so that a million routes are not all in memory at once.
  private var fetched: ArraySlice<Route> = []

  /// A piece takes about `byteCount` bytes on the wire.
  package init(of table: RouteTable, through filter: WatchFilter = .all, byteCount: Int) {
    self.table = table
    self.byteCount = byteCount
    rest =
      switch filter {
      case .all: .span(.all)
      case .span(let span): .span(span)
      case .group(let group): .group(group, after: nil)
      }
  }

  package mutating func next() -> [Wire.Route]? {
    var chunk: [Wire.Route] = []
    var size = 0
    while size < byteCount {
      if fetched.isEmpty { fetch() }
      guard let route = fetched.popFirst() else { break }
      let message = Wire.Route(route)
      size += message.approximateSize
      chunk.append(message)
    }
    return chunk.isEmpty ? nil : chunk
  }

  private mutating func fetch() {
    switch rest {
    case .span(let span):
      fetched = table.routes(overlapping: span, limit: 1024)[...]
      rest = .nothing
      if let end = fetched.last?.span.upper, span.upper.map({ end < $0 }) ?? true {
        rest = .span(KeySpan(unchecked: end, span.upper))
      }
    case .group(let group, let last):
      fetched = table.routes(of: group, after: last, limit: 1024)[...]
      rest = fetched.last.map { .group(group, after: $0.id) } ?? .nothing
    case .nothing:
      break
    }
  }
}

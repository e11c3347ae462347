import Catalog

/// The routes of a table in key order, cut into pieces that fit into messages.
package struct RouteChunks: Sequence, IteratorProtocol {
  private let table: RouteTable
  private let byteCount: Int
  private var rest: KeySpan? = .all
  // Fetched in pieces of so many, so that a million routes are not all in memory at once.
  private var fetched: ArraySlice<Route> = []

  /// A piece takes about `byteCount` bytes on the wire.
  package init(of table: RouteTable, byteCount: Int) {
    self.table = table
    self.byteCount = byteCount
  }

  package mutating func next() -> [Wire.Route]? {
    var chunk: [Wire.Route] = []
    var size = 0
    while size < byteCount {
      if fetched.isEmpty {
        guard let rest else { break }
        fetched = table.routes(overlapping: rest, limit: 1024)[...]
        self.rest = fetched.last?.span.upper.map { KeySpan(unchecked: $0, nil) }
      }
      guard let route = fetched.popFirst() else { break }
      let message = Wire.Route(route)
      size += message.approximateSize
      chunk.append(message)
    }
    return chunk.isEmpty ? nil : chunk
  }
}

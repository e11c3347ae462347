import Catalog

/// The first routes of a catalog, cut from a list of keys.
package struct CatalogCut: Sendable {
  /// Which group gets a route.
  package enum Grouping: Hashable, Sendable {
    /// A group for each owner of a route's first key, numbered from 1 in the order of their names.
    case byOwner
    /// Groups 1 to this number in turn.
    case roundRobin(Int)
  }

  /// Where each route starts: the first at the least key, in order.
  package private(set) var starts: [Key] = []
  /// The group of each route.
  package private(set) var groups: [GroupID] = []

  /// Cuts a route at every `stride`th key: the first starts at the least key, so that the routes
  /// tile the keyspace. `progress` is told how many keys have been passed, now and then.
  ///
  /// - Precondition: `keys` are sorted, each once; `stride` and the number of groups are above 0.
  package init(
    of keys: KeyList, every stride: Int, grouping: Grouping, progress: (UInt64) -> Void = { _ in }
  ) {
    precondition(stride > 0, "a route holds at least one key")
    let indices = Swift.stride(from: 0, to: keys.count, by: stride)
    starts.reserveCapacity(keys.count / stride + 1)
    for index in indices {
      // The least key may itself be in the file: then the first route starts there anyway.
      starts.append(index == 0 ? .least : keys.key(at: index))
      if starts.count.isMultiple(of: 4096) { progress(UInt64(index)) }
    }
    switch grouping {
    case .byOwner:
      let names = indices.map {
        Key(unchecked: Array(keys.owner(at: $0).prefix(Key.maximumLength)))
      }
      let distinct = Set(names).sorted()
      let numbers = Dictionary(
        uniqueKeysWithValues: zip(distinct, distinct.indices.map { GroupID(UInt64($0 + 1)) }))
      groups = names.compactMap { numbers[$0] }
    case .roundRobin(let count):
      precondition(count > 0, "at least one group")
      groups = starts.indices.map { GroupID(UInt64($0 % count + 1)) }
    }
  }

  /// How many routes were cut.
  package var routeCount: Int { starts.count }
  /// How many groups have a route.
  package var groupCount: Int { Set(groups).count }
}

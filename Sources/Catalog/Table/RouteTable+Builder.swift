/// Fills the indexes of an empty table from routes that come in key order.
struct RouteTableBuilder: ~Copyable {
  private let store: IndexStore
  private let birth: UInt64
  private var byStart: RouteIndex.Builder
  private var ids: [(id: UInt64, group: UInt64, start: Key)] = []
  private var digest: StateDigest = .zero
  /// Where the next route has to start; nil once one reached the end.
  private var boundary: Key? = .least

  init(in store: IndexStore) {
    self.store = store
    birth = store.nextSerial()
    byStart = RouteIndex.Builder(in: store, birth: birth)
  }

  /// - Throws: ``RouteTableError`` unless the route starts where the one before ended.
  mutating func append(_ route: Route) throws(RouteTableError) {
    let id = route.id.rawValue
    let lower = route.span.lower
    let upper = route.span.upper
    guard let boundary, lower == boundary, upper.map({ lower < $0 }) ?? true, id > 0, id < .max,
      lower.bytes.count <= Key.maximumLength
    else { throw .badSeed(index: ids.count) }
    guard route.allowedRegions.count <= Region.maximumCount else {
      throw .tooManyRegions(route.id, count: route.allowedRegions.count)
    }
    RouteRow.bytes(of: route.allowedRegions).withUnsafeBytes { regions in
      let row = RouteRow(
        id: id, group: route.group.rawValue, state: route.state.rawValue,
        parent: route.parent?.rawValue ?? 0, version: route.version.rawValue,
        changedAt: route.changedAt, regions: regions)
      lower.bytes.withUnsafeBytes { lower in
        row.withBytes { byStart.append(key: lower, payload: $0) }
        if let upper {
          upper.bytes.withUnsafeBytes { digest += row.digest(lower: lower, upper: .key($0)) }
        } else {
          digest += row.digest(lower: lower, upper: .end)
        }
      }
    }
    ids.append((id, route.group.rawValue, lower))
    self.boundary = upper
  }

  /// - Throws: ``RouteTableError`` unless the routes reach the end, with each id given once.
  consuming func finish(into table: inout RouteTable) throws(RouteTableError) {
    guard ids.isEmpty || boundary == nil else { throw .badSeed(index: ids.count) }
    // Most often they are in order already, and sorting those is linear.
    let byIDOrder = ids.indices.sorted { ids[$0].id < ids[$1].id }
    var byID = RouteIndex.Builder(in: store, birth: birth)
    var last: UInt64 = 0
    for index in byIDOrder {
      guard ids[index].id > last else { throw .badSeed(index: index) }
      last = ids[index].id
      IndexKey.withBytes(of: RouteID(last)) { id in
        ids[index].start.bytes.withUnsafeBytes { byID.append(key: id, payload: $0) }
      }
    }
    var byGroup = RouteIndex.Builder(in: store, birth: birth)
    let order = ids.sorted { ($0.group, $0.id) < ($1.group, $1.id) }
    for (id, group, _) in order {
      IndexKey.withBytes(of: GroupID(group), RouteID(id)) {
        byGroup.append(key: $0, payload: .empty)
      }
    }
    (table.holder, table.trees) = RouteIndex.Builder.finish(byStart, byID, byGroup)
    table.digest = digest
    table.nextRouteID = RouteID(last + 1)
  }
}

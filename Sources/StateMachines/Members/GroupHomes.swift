import Catalog

/// In which regions groups have their homes: two persistent indexes, by group and by region, so that
/// a change of one home among many shares the others with the version before.
struct GroupHomes: Sendable {
  private var byGroup: RouteIndex
  /// Name of the region, a zero byte, group.
  private var byRegion: RouteIndex

  init(in store: IndexStore) {
    byGroup = RouteIndex(in: store)
    byRegion = RouteIndex(in: store)
  }

  /// How many groups have a home.
  var count: Int { byGroup.count }

  /// The home of a group; nil when it has none. O(log *n*).
  subscript(group: GroupID) -> Region? {
    withUnsafeBytes(of: group.rawValue.bigEndian) { key in
      byGroup.withEntry(at: key) { entry in
        entry.flatMap { try? Region(String(decoding: $0.payload, as: UTF8.self)) }
      }
    }
  }

  /// Sets the home of a group, or removes it. O(log *n*).
  mutating func set(_ group: GroupID, to region: Region?) {
    let old = self[group]
    withUnsafeBytes(of: group.rawValue.bigEndian) { key in
      if let region {
        Array(region.name.utf8).withUnsafeBytes { name in
          byGroup.edit { _ = $0.upsert(key: key, payload: name) }
        }
      } else {
        byGroup.edit { _ = $0.remove(key: key) }
      }
    }
    if let old {
      Self.key(old, group).withUnsafeBytes { key in byRegion.edit { _ = $0.remove(key: key) } }
    }
    if let region {
      let empty = UnsafeRawBufferPointer(start: nil, count: 0)
      Self.key(region, group).withUnsafeBytes { key in
        byRegion.edit { _ = $0.upsert(key: key, payload: empty) }
      }
    }
  }

  /// The groups at home in a region, from one on, ascending, at most `limit`. O(log *n*) and what is
  /// returned.
  func groups(in region: Region, from first: GroupID = GroupID(0), limit: Int = .max) -> [GroupID] {
    var groups: [GroupID] = []
    var cursor = RouteIndex.Cursor(byRegion)
    Self.key(region, first).withUnsafeBytes { cursor.seek(atOrAfter: $0) }
    let name = Array(region.name.utf8) + [0]
    while groups.count < limit, let key = cursor.entry?.key, key.starts(with: name) {
      groups.append(GroupID(key.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }))
      cursor.moveToNext()
    }
    return groups
  }

  /// Hands out all homes, by group. O(*n*).
  func forEach(_ body: (GroupID, Region) -> Void) {
    var cursor = RouteIndex.Cursor(byGroup)
    cursor.seekToFirst()
    while let entry = cursor.entry {
      let group = GroupID(entry.key.reduce(0) { $0 << 8 | UInt64($1) })
      if let region = try? Region(String(decoding: entry.payload, as: UTF8.self)) {
        body(group, region)
      }
      cursor.moveToNext()
    }
  }

  private static func key(_ region: Region, _ group: GroupID) -> [UInt8] {
    Array(region.name.utf8) + [0] + withUnsafeBytes(of: group.rawValue.bigEndian, Array.init)
  }
}

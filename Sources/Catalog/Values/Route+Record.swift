extension Route {
  /// What the record of a route begins with; that of the catalog's header begins with 0.
  static let recordKind: UInt8 = 1

  /// The bytes whose hash stands for the route in a ``StateDigest``.
  ///
  /// ```
  /// 1  u64 id  varint length, lower key  0 or 1 [varint length, upper key]
  /// u64 group  u8 state  u64 parent (0 where there is none)
  /// varint count, for each allowed region varint length, name
  /// u64 version  u64 time of the last change
  /// ```
  ///
  /// Numbers of fixed width are little-endian.
  package var record: [UInt8] {
    var writer = ByteWriter(reserving: 128)
    writer.byte(Route.recordKind)
    writer.fixed64(id.rawValue)
    writer.varint(UInt64(span.lower.bytes.count))
    writer.append(span.lower.bytes)
    if let upper = span.upper {
      writer.byte(1)
      writer.varint(UInt64(upper.bytes.count))
      writer.append(upper.bytes)
    } else {
      writer.byte(0)
    }
    writer.fixed64(group.rawValue)
    writer.byte(state.rawValue)
    writer.fixed64(parent?.rawValue ?? 0)
    writer.append(RouteRow.bytes(of: allowedRegions))
    writer.fixed64(version.rawValue)
    writer.fixed64(changedAt.rawValue)
    return writer.bytes
  }
}

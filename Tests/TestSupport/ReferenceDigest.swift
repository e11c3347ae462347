import Catalog
import Crypto

/// The digest of a state, made the slow way from what `FORMAT.md` says.
package enum ReferenceDigest {
  package static func digest(
    version: CatalogVersion, nextRouteID: RouteID, routes: [Route]
  ) -> StateDigest {
    let header = [0] + fixed(version.rawValue) + fixed(nextRouteID.rawValue)
    // Limbs of one byte and room for the carries, least significant first.
    var sum = [UInt64](repeating: 0, count: 32)
    for record in routes.map(record(of:)) + [header] {
      for (index, byte) in SHA256.hash(data: record).enumerated() { sum[index] += UInt64(byte) }
    }
    var carry: UInt64 = 0
    let bytes = sum.map { limb in
      let total = limb + carry
      carry = total >> 8
      return UInt8(truncatingIfNeeded: total)
    }
    return StateDigest(bytes: bytes) ?? .zero
  }

  package static func record(of route: Route) -> [UInt8] {
    var record: [UInt8] = [1] + fixed(route.id.rawValue) + prefixed(route.span.lower.bytes)
    record += route.span.upper.map { [1] + prefixed($0.bytes) } ?? [0]
    record += fixed(route.group.rawValue)
    record.append(route.state.rawValue)
    record += fixed(route.parent?.rawValue ?? 0)
    record += varint(route.allowedRegions.count)
    for region in route.allowedRegions { record += prefixed(Array(region.name.utf8)) }
    return record + fixed(route.version.rawValue) + fixed(route.changedAt.rawValue)
  }

  private static func fixed(_ value: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }

  private static func prefixed(_ bytes: [UInt8]) -> [UInt8] { varint(bytes.count) + bytes }

  private static func varint(_ value: Int) -> [UInt8] {
    value < 128
      ? [UInt8(value)] : [UInt8(value % 128 + 128)] + varint(value / 128)
  }
}

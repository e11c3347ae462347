import Catalog
import Crypto
import StateMachines

/// Half of the SHA-256 of what a command asks for: tells a command that is sent again from another
/// one under the same id.
///
/// Who asks, why, and the expected version do not count: a caller that asks again may know more.
package struct ChangeFingerprint: FixedBytes {
  package static let byteCount = 16

  package let bytes: [UInt8]

  package init?(bytes: some Collection<UInt8>) {
    guard bytes.count == Self.byteCount else { return nil }
    self.bytes = Array(bytes)
  }

  /// The first half of a hash.
  init(truncating hash: EntryHash) { bytes = Array(hash.bytes.prefix(Self.byteCount)) }

  /// O(*n*) in the size of the change.
  package init(of change: RouteChange) {
    var writer = Writer()
    switch change {
    case .bootstrap(let seeds): writer.add(1, seeds)
    case .split(let splits):
      writer.add(2, count: splits.count)
      for split in splits {
        writer.add(split.route?.rawValue ?? 0)
        writer.add(split.at)
      }
    case .merge(let merges):
      writer.add(3, count: merges.count)
      for merge in merges {
        writer.add(merge.left.rawValue)
        writer.add(merge.right.rawValue)
      }
    case .move(let routes, let group):
      writer.add(4, count: routes.count)
      writer.add(routes)
      writer.add(group.rawValue)
    case .setState(let routes, let state):
      writer.add(5, count: routes.count)
      writer.add(routes)
      writer.add(UInt64(state.rawValue))
    case .setAllowedRegions(let routes, let regions):
      writer.add(6, count: routes.count)
      writer.add(routes)
      writer.add(regions)
    case .arrange(let layout): writer.add(7, layout)
    }
    bytes = Array(SHA256.hash(data: writer.bytes).prefix(Self.byteCount))
  }

  /// Numbers as eight little-endian bytes; keys and names behind their lengths.
  private struct Writer {
    var bytes = Array("cadastre/change/1".utf8)

    mutating func add(_ number: UInt64) {
      withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func add(_ kind: UInt64, count: Int) {
      add(kind)
      add(UInt64(count))
    }

    mutating func add(_ kind: UInt64, _ seeds: [RouteSeedRequest]) {
      add(kind, count: seeds.count)
      for seed in seeds {
        add(seed.start)
        add(seed.group.rawValue)
        add(seed.allowedRegions)
      }
    }

    mutating func add(_ key: Key) {
      add(UInt64(key.bytes.count))
      bytes += key.bytes
    }

    mutating func add(_ routes: [RouteID]) {
      for route in routes { add(route.rawValue) }
    }

    mutating func add(_ regions: [Region]) {
      add(UInt64(regions.count))
      for region in regions {
        add(UInt64(region.name.utf8.count))
        bytes += region.name.utf8
      }
    }
  }
}

/// What a log's entries are about: a byte of each entry's header.
package enum StreamKind: UInt8, Hashable, Sendable, CaseIterable {
  /// The routes of a catalog, of which there is one stream.
  case catalog = 0
  /// The clocks and transactions of a region, of which there is one stream for each region.
  case region = 1

  /// The bit of an entry's header that says: its reader knows streams of regions.
  package static let regionStreams: UInt16 = 1 << 1

  /// The capabilities that a reader needs for any entry of such a stream, as a set of bits.
  package var neededCapabilities: UInt16 {
    switch self {
    case .catalog: 0
    case .region: Self.regionStreams
    }
  }

  package var description: String {
    switch self {
    case .catalog: "catalog"
    case .region: "region"
    }
  }
}

extension StreamKind: CustomStringConvertible {}

extension EntryHash {
  /// What the first entry of a region's stream names as the entry before it: SHA-256 of
  /// `cadastre/region/1`, the catalog's id and the region's name, so that the streams of two regions
  /// do not mix.
  package static func genesis(of catalog: CatalogID, region: Region) -> EntryHash {
    let seed = Array("cadastre/region/1".utf8) + catalog.bytes + Array(region.name.utf8)
    return seed.withUnsafeBytes(EntryHash.init(of:))
  }
}

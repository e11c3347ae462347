import CadastreClient
import Catalog
import Foundation

/// Where the next page of a listing starts. Opaque to callers, and checked when it comes back.
package struct PageToken: Hashable, Sendable {
  /// What the next page starts at or after, which depends on the selector.
  package enum Cursor: Hashable, Sendable {
    /// The first key of the next route.
    case key(Key)
    /// The id of the last route given.
    case id(RouteID)
    /// How many of the ids asked for were looked at.
    case offset(Int)
  }

  /// The version that all pages show.
  package var version: CatalogVersion
  /// Tells the selector that the listing was begun with from others.
  package var selector: UInt64
  package var cursor: Cursor

  package init(version: CatalogVersion, selector: UInt64, cursor: Cursor) {
    self.version = version
    self.selector = selector
    self.cursor = cursor
  }
}

extension PageToken {
  private static let format: UInt8 = 1

  /// Format, version, selector, kind of cursor, cursor; numbers little-endian.
  package var data: Data {
    var bytes: [UInt8] = [Self.format]
    func append(_ number: UInt64) {
      withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }
    append(version.rawValue)
    append(selector)
    switch cursor {
    case .key(let key):
      bytes.append(0)
      bytes.append(contentsOf: key.bytes)
    case .id(let id):
      bytes.append(1)
      append(id.rawValue)
    case .offset(let offset):
      bytes.append(2)
      append(UInt64(offset))
    }
    return Data(bytes)
  }

  /// - Throws: ``MalformedMessage`` when `data` is nothing that ``data`` writes.
  package init(data: Data) throws(MalformedMessage) {
    let bytes = Array(data)
    func number(at offset: Int) -> UInt64? {
      guard bytes.count >= offset + 8 else { return nil }
      return bytes[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    guard bytes.first == Self.format, let version = number(at: 1), let selector = number(at: 9),
      bytes.count > 17
    else { throw Self.malformed }
    switch (bytes[17], bytes.count) {
    case (0, _): cursor = .key(try key("page_token", Data(bytes[18...])))
    case (1, 26): cursor = .id(RouteID(number(at: 18) ?? 0))
    case (2, 26): cursor = .offset(Int(clamping: number(at: 18) ?? 0))
    default: throw Self.malformed
    }
    self.version = CatalogVersion(version)
    self.selector = selector
  }

  private static let malformed = MalformedMessage(
    "page_token: not one that a listing gave: pass next_page_token on as it is, or nothing")
}

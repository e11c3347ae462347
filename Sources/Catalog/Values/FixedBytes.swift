/// A fixed number of bytes with a meaning of its own, written in hexadecimal.
public protocol FixedBytes: Hashable, Sendable, CustomStringConvertible {
  /// How many bytes a value has.
  static var byteCount: Int { get }
  /// Exactly ``byteCount`` bytes.
  var bytes: [UInt8] { get }
  /// Takes ``byteCount`` bytes; nil when there are more or fewer.
  init?(bytes: some Collection<UInt8>)
}

extension FixedBytes {
  /// Lower-case hexadecimal, two digits a byte.
  public var description: String { hexadecimal(bytes) }

  /// Reads what ``description`` writes; nil when it is not of that form.
  public init?(hexadecimal text: some StringProtocol) {
    guard let bytes = Catalog.bytes(hexadecimal: text) else { return nil }
    self.init(bytes: bytes)
  }
}

/// The caller's name for a command: with it a command that is sent again is carried out once.
public struct CommandID: FixedBytes {
  /// How many bytes an id has.
  public static let byteCount = 16

  private let storage: InlineBytes16

  /// The bytes of the id.
  public var bytes: [UInt8] { storage.array }

  /// Takes sixteen bytes; nil when there are more or fewer.
  public init?(bytes: some Collection<UInt8>) {
    guard let storage = InlineBytes16(bytes) else { return nil }
    self.storage = storage
  }
}

/// Names a catalog: given at `init`, carried by every log of it, so that the logs of two catalogs
/// are never mixed.
public struct CatalogID: FixedBytes {
  /// How many bytes an id has.
  public static let byteCount = 16

  private let storage: InlineBytes16

  /// The bytes of the id.
  public var bytes: [UInt8] { storage.array }

  /// Takes sixteen bytes; nil when there are more or fewer.
  public init?(bytes: some Collection<UInt8>) {
    guard let storage = InlineBytes16(bytes) else { return nil }
    self.storage = storage
  }
}

/// Half of the SHA-256 of what a command asks for: tells a command that is sent again from another
/// one under the same id.
///
/// Who asks, why, and the expected version do not count: a caller that asks again may know more.
package struct ChangeFingerprint: FixedBytes {
  package static let byteCount = 16

  private let storage: InlineBytes16

  package var bytes: [UInt8] { storage.array }

  package init?(bytes: some Collection<UInt8>) {
    guard let storage = InlineBytes16(bytes) else { return nil }
    self.storage = storage
  }

  /// The first half of a hash.
  package init(truncating hash: EntryHash) {
    storage = hash.bytes.withUnsafeBytes { bytes in
      InlineBytes16(load: UnsafeRawBufferPointer(rebasing: bytes[..<Self.byteCount]))
    }
  }
}

/// A position in the keyspace: a string of at most ``maximumLength`` bytes.
///
/// Keys are ordered as unsigned bytes; a key sorts before every key that extends it. The empty
/// key, ``least``, is a key like any other and sorts first.
public struct Key: Sendable {
  /// The longest key, in bytes.
  public static let maximumLength = 4096

  /// The empty key, which sorts before all others.
  public static let least = Key(unchecked: [])

  /// The key's bytes, at most ``maximumLength`` of them.
  public let bytes: [UInt8]

  /// - Throws: ``KeyError/tooLong(byteCount:)`` when there are more than ``maximumLength`` bytes.
  public init(_ bytes: some Collection<UInt8>) throws(KeyError) {
    guard bytes.count <= Key.maximumLength else { throw .tooLong(byteCount: bytes.count) }
    self.bytes = Array(bytes)
  }

  /// Takes bytes that are known to be short enough.
  ///
  /// - Precondition: At most ``maximumLength`` bytes.
  package init(unchecked bytes: [UInt8]) {
    assert(bytes.count <= Key.maximumLength)
    self.bytes = bytes
  }
}

extension Key: Comparable, Hashable {
  /// In the order of unsigned bytes.
  public static func < (left: Key, right: Key) -> Bool {
    left.bytes.withUnsafeBytes { l in
      right.bytes.withUnsafeBytes { r in l.isOrdered(before: r) }
    }
  }
}

/// Why bytes or text are not a ``Key``.
public enum KeyError: Error, Equatable, Sendable, CustomStringConvertible {
  /// More than ``Key/maximumLength`` bytes.
  case tooLong(byteCount: Int)
  /// A backslash that starts none of the escapes `\\` and `\xNN`, at this offset of the text.
  case malformedEscape(offset: Int)

  /// What is wrong.
  public var description: String {
    switch self {
    case .tooLong(let count):
      "a key of \(count) bytes is too long: at most \(Key.maximumLength) bytes are allowed"
    case .malformedEscape(let offset):
      "the backslash at byte \(offset) starts no escape: write \\\\ for a backslash and \\xNN for "
        + "the byte with hexadecimal value NN"
    }
  }
}

extension Key {
  /// Reads the form that ``description`` writes: UTF-8 text in which `\xNN` stands for a byte and
  /// `\\` for a backslash.
  ///
  /// - Throws: ``KeyError`` when an escape is malformed or the key is too long.
  public init(text: some StringProtocol) throws(KeyError) {
    var bytes: [UInt8] = []
    let utf8 = Array(text.utf8)
    bytes.reserveCapacity(utf8.count)
    var offset = 0
    while offset < utf8.count {
      let byte = utf8[offset]
      guard byte == UInt8(ascii: "\\") else {
        bytes.append(byte)
        offset += 1
        continue
      }
      if offset + 1 < utf8.count, utf8[offset + 1] == UInt8(ascii: "\\") {
        bytes.append(byte)
        offset += 2
      } else if offset + 3 < utf8.count, utf8[offset + 1] == UInt8(ascii: "x"),
        let high = hexDigitValue(utf8[offset + 2]), let low = hexDigitValue(utf8[offset + 3])
      {
        bytes.append(high << 4 | low)
        offset += 4
      } else {
        throw .malformedEscape(offset: offset)
      }
    }
    try self.init(bytes)
  }
}

extension Key: CustomStringConvertible {
  /// The key as text that ``init(text:)`` reads back: printable ASCII and well-formed UTF-8 as
  /// they are, every other byte as `\xNN`, a backslash as `\\`.
  public var description: String {
    if let text = String(validating: bytes, as: UTF8.self),
      text.unicodeScalars.allSatisfy({ $0.properties.generalCategory.isPlain && $0 != "\\" })
    {
      return text
    }
    var text = ""
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "\\"): text += "\\\\"
      case 0x20...0x7E: text.unicodeScalars.append(Unicode.Scalar(byte))
      default: text += "\\x" + hexadecimal(CollectionOfOne(byte))
      }
    }
    return text
  }
}

extension Unicode.GeneralCategory {
  /// Whether scalars of this kind show as they are on a terminal.
  fileprivate var isPlain: Bool {
    switch self {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
      .paragraphSeparator:
      false
    default: true
    }
  }
}

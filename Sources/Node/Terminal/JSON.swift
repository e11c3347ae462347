import Catalog

/// A JSON value whose fields keep their order and whose numbers keep all 64 bits.
package enum JSON: Sendable {
  case null
  case bool(Bool)
  case number(UInt64)
  /// A measured figure; written with at most three decimals.
  case decimal(Double)
  case string(String)
  case array([JSON])
  case object([(name: String, value: JSON)])

  package init(_ text: String?) { self = text.map(JSON.string) ?? .null }
  package init(_ number: UInt64?) { self = number.map(JSON.number) ?? .null }
  package init(_ number: some Ordinal) { self = .number(number.rawValue) }
  package init(_ count: Int) { self = .number(UInt64(clamping: count)) }
}

extension JSON: ExpressibleByDictionaryLiteral, ExpressibleByArrayLiteral {
  package init(dictionaryLiteral elements: (String, JSON)...) {
    self = .object(elements.map { (name: $0.0, value: $0.1) })
  }

  package init(arrayLiteral elements: JSON...) { self = .array(elements) }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(integerLiteral value: UInt64) { self = .number(value) }
}

extension JSON {
  /// The fields of this object followed by those of `other`; where either is no object, `other`.
  package func adding(_ other: JSON) -> JSON {
    guard case .object(let own) = self, case .object(let more) = other else { return other }
    return .object(own + more)
  }
}

extension JSON: CustomStringConvertible {
  /// The value on one line. O(*n*) in its size.
  package var description: String {
    var text = ""
    write(to: &text)
    return text
  }

  /// Appends the value on one line.
  package func write(to text: inout String) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .number(let value): text += String(value)
    case .decimal(let value):
      // JSON has no infinities.
      text += value.isFinite ? String((value * 1000).rounded() / 1000) : "null"
    case .string(let value): Self.write(value, to: &text)
    case .array(let values):
      text += "["
      for (index, value) in values.enumerated() {
        if index > 0 { text += "," }
        value.write(to: &text)
      }
      text += "]"
    case .object(let fields):
      text += "{"
      for (index, field) in fields.enumerated() {
        if index > 0 { text += "," }
        Self.write(field.name, to: &text)
        text += ":"
        field.value.write(to: &text)
      }
      text += "}"
    }
  }

  private static func write(_ string: String, to text: inout String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case "\u{0}"..<"\u{20}", "\u{7F}":
        text += "\\u00" + hexadecimal(CollectionOfOne(UInt8(scalar.value)))
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}

/// The value of an ASCII hexadecimal digit, either case, or nil.
package func hexDigitValue(_ byte: UInt8) -> UInt8? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
  default: nil
  }
}

/// Two lower-case digits for each byte.
package func hexadecimal(_ bytes: some Collection<UInt8>) -> String {
  let digits = Array("0123456789abcdef".utf8)
  var text: [UInt8] = []
  text.reserveCapacity(bytes.count * 2)
  for byte in bytes {
    text.append(digits[Int(byte >> 4)])
    text.append(digits[Int(byte & 0xF)])
  }
  return String(decoding: text, as: UTF8.self)
}

/// The bytes that `text` names with two digits each, or nil when it is not of that form.
package func bytes(hexadecimal text: some StringProtocol) -> [UInt8]? {
  let utf8 = Array(text.utf8)
  guard utf8.count.isMultiple(of: 2) else { return nil }
  var bytes: [UInt8] = []
  bytes.reserveCapacity(utf8.count / 2)
  for offset in stride(from: 0, to: utf8.count, by: 2) {
    guard let high = hexDigitValue(utf8[offset]), let low = hexDigitValue(utf8[offset + 1]) else {
      return nil
    }
    bytes.append(high << 4 | low)
  }
  return bytes
}

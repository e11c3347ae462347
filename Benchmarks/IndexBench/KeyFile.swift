#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Keys one behind the other, each behind its length in four bytes, little-endian: what
/// `Benchmarks/rust/btreemap.rs` reads as well.
struct KeyFile {
  private(set) var bytes: [UInt8] = []
  /// Where each key stands in `bytes`.
  private(set) var ranges: [Range<Int>] = []

  var count: Int { ranges.count }

  mutating func append(_ key: [UInt8]) {
    let length = UInt32(key.count)
    for shift in stride(from: UInt32(0), to: 32, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: length >> shift))
    }
    ranges.append(bytes.count..<bytes.count + key.count)
    bytes.append(contentsOf: key)
  }

  func key(_ index: Int) -> [UInt8] { Array(bytes[ranges[index]]) }

  func write(to path: String) throws(BenchError) {
    guard let file = fopen(path, "wb") else { throw .cannotOpen(path) }
    defer { fclose(file) }
    guard fwrite(bytes, 1, bytes.count, file) == bytes.count else { throw .cannotOpen(path) }
  }

  static func read(_ path: String) throws(BenchError) -> KeyFile {
    guard let file = fopen(path, "rb") else { throw .cannotOpen(path) }
    defer { fclose(file) }
    var result = KeyFile()
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 {
      result.bytes.append(contentsOf: buffer[..<count])
    }
    var offset = 0
    while offset + 4 <= result.bytes.count {
      let length = (0..<4).reduce(0) { $0 | Int(result.bytes[offset + $1]) << (8 * $1) }
      guard offset + 4 + length <= result.bytes.count else { throw .malformed(path) }
      result.ranges.append(offset + 4..<offset + 4 + length)
      offset += 4 + length
    }
    return result
  }
}

enum BenchError: Error {
  case cannotOpen(String)
  case malformed(String)
  case usage(String)
}

/// SplitMix64: the same numbers from the same seed everywhere.
struct Generator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// A key of 12 to 40 letters and digits.
  mutating func key() -> [UInt8] {
    let letters = Array("abcdefghijklmnopqrstuvwxyz012345".utf8)
    let length = 12 + Int(next() % 29)
    var bits: UInt64 = 0
    return (0..<length).map { position in
      if position % 12 == 0 { bits = next() }
      defer { bits >>= 5 }
      return letters[Int(bits & 31)]
    }
  }
}

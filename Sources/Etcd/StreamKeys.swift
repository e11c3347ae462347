import Catalog
import Foundation

/// The keys under which a stream is kept; `FORMAT.md` lists them.
struct StreamKeys: Sendable {
  let prefix: String

  init(prefix: String) { self.prefix = prefix }

  /// What all keys of the stream begin with.
  var all: Data { key("") }
  var meta: Data { key("meta") }
  var tail: Data { key("tail") }
  var trimmed: Data { key("trimmed") }
  var leader: Data { key("leader") }
  var successor: Data { key("next") }
  var appends: Data { key("b/") }
  var pieces: Data { key("c/") }
  var members: Data { key("m/") }

  /// That of the append whose first entry has this position.
  func append(_ position: LogPosition) -> Data { key("b/" + Self.hex(position.rawValue, 16)) }

  /// What the keys of all pieces of an append begin with: its own key but for the letter.
  func pieces(ofAppendAt append: Data) -> Data {
    pieces + append.dropFirst(appends.count) + Data("/".utf8)
  }

  /// Those of the pieces of an append, by what they are under.
  func pieces(_ position: LogPosition, _ set: String) -> Data {
    key("c/" + Self.hex(position.rawValue, 16) + "/" + set + "/")
  }

  func piece(_ index: Int, of position: LogPosition, _ set: String) -> Data {
    pieces(position, set) + Data(Self.hex(UInt64(index), 4).utf8)
  }

  func member(_ name: MemberName) -> Data { key("m/" + name.name) }

  private func key(_ suffix: String) -> Data { Data((prefix + suffix).utf8) }

  private static func hex(_ number: UInt64, _ width: Int) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }

  /// The end of the range of all keys that begin with this one: it ends with no byte 255.
  static func end(of prefix: Data) -> Data {
    var end = prefix
    end[end.index(before: end.endIndex)] += 1
    return end
  }

  /// The least key after one.
  static func after(_ key: Data) -> Data { key + Data([0]) }
}

/// What a reader must be able to read beyond format 1: one of the sixteen bits that an entry's
/// header has for it.
package struct Capability: Hashable, Comparable, Sendable {
  /// Members, regions, groups' homes, and what follows from them.
  package static let members = Capability(bit: 0, name: "cap_members_v1")

  /// Streams of regions: clocks of groups, and transactions.
  package static let regionStreams = Capability(bit: 1, name: "cap_region_streams_v1")

  /// Who leads the streams of regions, and for how long without hearing of the catalog.
  package static let regionClaims = Capability(bit: 2, name: "cap_region_claims_v1")

  /// All that this code knows of, by bit.
  package static let all: [Capability] = [.members, .regionStreams, .regionClaims]
  /// How many there can be.
  package static let limit = 16
  /// The longest name, in bytes.
  package static let maximumNameLength = 63

  /// 0 to 15.
  package let bit: UInt8
  /// `cap_…_v1`: ASCII letters `a` to `z`, digits and `_`.
  package let name: String

  private init(bit: UInt8, name: String) {
    self.bit = bit
    self.name = name
  }

  /// The capability with this name, of those that this code knows.
  package init?(name: some StringProtocol) {
    guard let known = Self.all.first(where: { $0.name == name }) else { return nil }
    self = known
  }

  package static func < (left: Capability, right: Capability) -> Bool { left.bit < right.bit }

  /// Whether bytes are of the form that names have.
  static func isName(_ bytes: some Collection<UInt8>) -> Bool {
    (1...maximumNameLength).contains(bytes.count)
      && bytes.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
          UInt8(ascii: "_"):
          true
        default: false
        }
      }
  }
}

/// A set of capabilities, as bits; some of them perhaps unknown here.
package struct CapabilitySet: OptionSet, Hashable, Sendable {
  package let rawValue: UInt16
  package init(rawValue: UInt16) { self.rawValue = rawValue }

  package init(_ capability: Capability) { self.init(rawValue: 1 << UInt16(capability.bit)) }

  package static let members = CapabilitySet(Capability.members)
  package static let regionStreams = CapabilitySet(Capability.regionStreams)
  package static let regionClaims = CapabilitySet(Capability.regionClaims)

  /// Those that this code reads.
  package static let known = CapabilitySet(Capability.all.map { CapabilitySet($0) })

  /// The bits, ascending.
  package var bits: [UInt8] {
    (0..<UInt8(Capability.limit)).filter { rawValue & 1 << UInt16($0) != 0 }
  }

  /// The names, in the order of the bits. `names` has those that a catalog's log gave to bits; a bit
  /// without any is called by its number.
  package func names(_ names: [UInt8: String] = [:]) -> [String] {
    bits.map { bit in
      names[bit] ?? Capability.all.first { $0.bit == bit }?.name ?? "capability \(bit)"
    }
  }
}

extension CapabilitySet: CustomStringConvertible {
  package var description: String { names().joined(separator: ", ") }
}

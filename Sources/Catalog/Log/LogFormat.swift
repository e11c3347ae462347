/// The numbers of the log's format that `FORMAT.md` describes.
package enum LogFormat {
  /// What every entry begins with, before the byte of the format's version.
  static let magic: (UInt8, UInt8, UInt8) = (
    UInt8(ascii: "C"), UInt8(ascii: "D"), UInt8(ascii: "E")
  )
  /// The version that this code writes, and the newest that it reads.
  package static let version: UInt8 = 1
  /// Where the capabilities that a reader needs stand.
  static let capabilitiesOffset = 6
  /// How many bytes come before the actor, at fixed offsets.
  static let fixedByteCount = 112
  /// The fewest bytes that an event takes: its kind and a number.
  static let minimumEventByteCount = 2
  /// The fewest bytes that a seed of the bootstrap takes: id, empty key, group, no regions.
  static let minimumSeedByteCount = 4
  /// The fewest bytes that a region takes: its length and a letter.
  static let minimumRegionByteCount = 2
  /// The fewest bytes that a run of groups takes: two numbers.
  static let minimumRunByteCount = 2

  /// How many events or seeds a reader makes room for on the word of a count alone: each takes more
  /// memory than bytes, and a hostile count may promise as many as there are bytes.
  static let reservationLimit = 1 << 17

  /// An event's first byte.
  enum EventKind {
    static let routesBootstrapped: UInt8 = 1
    static let routeSplit: UInt8 = 2
    static let routesMerged: UInt8 = 3
    static let routeMoved: UInt8 = 4
    static let routeStateChanged: UInt8 = 5
    static let allowedRegionsChanged: UInt8 = 6
    static let catalogCommitted: UInt8 = 7
    static let logTrimmed: UInt8 = 8
    /// Those of regions' streams, not all of which are given.
    static let ofRegions: ClosedRange<UInt8> = 64...95
    static let groupsLed: UInt8 = 64
    static let ceilingsRaised: UInt8 = 65
    static let groupsRetired: UInt8 = 66
    static let groupsDeparted: UInt8 = 67
    static let groupsArrived: UInt8 = 68
    static let transactionBegun: UInt8 = 80
    static let transactionDecided: UInt8 = 81
  }
}

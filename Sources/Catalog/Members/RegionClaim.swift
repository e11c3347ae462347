/// Who leads the stream of a region, by the catalog, and what the next leader may count on.
///
/// A process puts its claim on record before it leads, each anew: a claim names the number of the one
/// before it, so that one that was on its way when its process ended comes to nothing.
package struct RegionClaim: Hashable, Sendable {
  package var region: Region
  /// The region's epoch under which the stream is led.
  package var epoch: UInt64
  package var member: MemberName
  /// One more than that of the claim before; 1 for the first.
  package var number: UInt64
  /// The leader has stopped once it did not know the newest catalog for so long. Zero: it goes on until
  /// it hears that the region was lost.
  package var limit: Milliseconds

  package init(
    region: Region, epoch: UInt64, member: MemberName, number: UInt64, limit: Milliseconds
  ) {
    self.region = region
    self.epoch = epoch
    self.member = member
    self.number = number
    self.limit = limit
  }
}

extension ByteWriter {
  /// The fields of a claim, as its event and its record have them.
  mutating func write(_ claim: RegionClaim) {
    region(claim.region)
    varint(claim.epoch)
    member(claim.member)
    varint(claim.number)
    varint(claim.limit.rawValue)
  }
}

extension ByteReader {
  mutating func claim() throws(LogCodingError) -> RegionClaim {
    RegionClaim(
      region: try region(), epoch: try varint(), member: try member(), number: try varint(),
      limit: Milliseconds(try varint()))
  }
}

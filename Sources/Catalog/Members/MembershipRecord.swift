/// One of the records that a catalog's membership is made of: what its digest sums up, and, one after
/// the other in ascending order, how it is stored. `FORMAT.md` describes them.
package enum MembershipRecord: Hashable, Sendable {
  case capability(bit: UInt8, name: String)
  case member(Member)
  case region(RegionStanding)
  case home(GroupID, Region)
  case policy(PolicyName, KeySpan)
  case claim(RegionClaim)

  /// What a record begins with; those of the catalog's header and of routes begin with 0 and 1.
  private enum Kind {
    static let capability: UInt8 = 16
    static let member: UInt8 = 17
    static let region: UInt8 = 18
    static let home: UInt8 = 19
    static let policy: UInt8 = 20
    static let claim: UInt8 = 21
  }

  /// Whether this record comes before another one in what is stored.
  package func isOrdered(before other: MembershipRecord) -> Bool {
    switch (self, other) {
    case (.capability(let left, _), .capability(let right, _)): left < right
    case (.member(let left), .member(let right)): left.name < right.name
    case (.region(let left), .region(let right)): left.region < right.region
    case (.home(let left, _), .home(let right, _)): left < right
    case (.policy(let left, _), .policy(let right, _)): left < right
    case (.claim(let left), .claim(let right)): left.region < right.region
    default: kind < other.kind
    }
  }

  private var kind: UInt8 {
    switch self {
    case .capability: Kind.capability
    case .member: Kind.member
    case .region: Kind.region
    case .home: Kind.home
    case .policy: Kind.policy
    case .claim: Kind.claim
    }
  }

  /// The record's bytes.
  package var bytes: [UInt8] {
    var writer = ByteWriter(reserving: 64)
    writer.byte(kind)
    switch self {
    case .capability(let bit, let name):
      writer.byte(bit)
      writer.varint(UInt64(name.utf8.count))
      writer.append(Array(name.utf8))
    case .member(let member):
      writer.member(member.name)
      writer.varint(UInt64(member.address.utf8.count))
      writer.append(Array(member.address.utf8))
      writer.region(member.region)
      writer.varint(UInt64(member.capabilities.rawValue))
      writer.byte(member.status.rawValue)
    case .region(let region):
      writer.write(region)
    case .home(let group, let region):
      writer.fixed64(group.rawValue)
      writer.region(region)
    case .policy(let name, let span):
      writer.member(name)
      writer.bound(span.lower)
      writer.flag(span.upper != nil)
      if let upper = span.upper { writer.bound(upper) }
    case .claim(let claim):
      writer.write(claim)
    }
    return writer.bytes
  }

  /// The digest of this record alone.
  package var digest: StateDigest { bytes.withUnsafeBytes(StateDigest.init(ofRecord:)) }

  /// Hands out the records in `bytes`, which are in ascending order. No bytes trap. O(*n*).
  ///
  /// - Throws: ``LogCodingError`` when the bytes are anything else.
  package static func decode(
    _ bytes: [UInt8], _ body: (MembershipRecord) -> Void
  ) throws(LogCodingError) {
    try bytes.withUnsafeBufferPointer { (buffer) throws(LogCodingError) in
      var reader = ByteReader(UnsafeRawBufferPointer(buffer))
      var last: MembershipRecord?
      while reader.remaining > 0 {
        let start = reader.offset
        let record = try reader.membershipRecord()
        if let last, !last.isOrdered(before: record) {
          throw LogCodingError(.recordsNotAscending, at: start)
        }
        body(record)
        last = record
      }
    }
  }

  fileprivate static func read(
    _ reader: inout ByteReader
  ) throws(LogCodingError) -> MembershipRecord {
    let start = reader.offset
    let kind = try reader.byte()
    switch kind {
    case Kind.capability:
      return .capability(bit: try reader.capabilityBit(), name: try reader.capabilityName())
    case Kind.member:
      return .member(
        Member(
          name: try reader.member(), address: try reader.address(), region: try reader.region(),
          capabilities: try reader.capabilities(),
          status: try reader.number(MemberStatus.init(rawValue:))))
    case Kind.region:
      return .region(try reader.regionStanding())
    case Kind.home:
      return .home(GroupID(try reader.fixed64()), try reader.region())
    case Kind.policy:
      return .policy(try reader.member(), try reader.span())
    case Kind.claim:
      return .claim(try reader.claim())
    default:
      throw LogCodingError(.unknownRecord(kind), at: start)
    }
  }
}

extension ByteWriter {
  /// A key of a record: what made the record has seen to its length.
  fileprivate mutating func bound(_ key: Key) {
    varint(UInt64(key.bytes.count))
    append(key.bytes)
  }

  fileprivate mutating func write(_ region: RegionStanding) {
    self.region(region.region)
    byte(region.status.rawValue)
    fixed64(region.epoch)
    varint(UInt64(region.silentTo.count))
    for member in region.silentTo { self.member(member) }
    regionOrder(region.leaderPreference)
    fixed64(region.sweep.group.rawValue)
    fixed64(region.sweep.route.rawValue)
    flag(region.sweep.isDone)
    fixed64(region.failed)
    fixed64(region.promoted)
    fixed64(region.returned)
    flag(region.recovery != nil)
    if let recovery = region.recovery {
      append(recovery.plan.bytes)
      fixed64(recovery.step)
      fixed64(recovery.steps)
    }
  }
}

extension ByteReader {
  fileprivate mutating func membershipRecord() throws(LogCodingError) -> MembershipRecord {
    try MembershipRecord.read(&self)
  }

  fileprivate mutating func number<Value>(
    _ make: (UInt8) -> Value?
  ) throws(LogCodingError) -> Value {
    let start = offset
    let number = try byte()
    guard let value = make(number) else { throw LogCodingError(.unknownStatus(number), at: start) }
    return value
  }

  fileprivate mutating func regionStanding() throws(LogCodingError) -> RegionStanding {
    var record = RegionStanding(try region())
    record.status = try number(RegionStatus.init(rawValue:))
    record.epoch = try fixed64()
    let count = try count(minimumByteCount: LogFormat.minimumRegionByteCount)
    for _ in 0..<count {
      let start = offset
      let member = try member()
      if let last = record.silentTo.last, member <= last {
        throw LogCodingError(.recordsNotAscending, at: start)
      }
      record.silentTo.append(member)
    }
    record.leaderPreference = try regionOrder()
    record.sweep.group = GroupID(try fixed64())
    record.sweep.route = RouteID(try fixed64())
    record.sweep.isDone = try flag()
    record.failed = try fixed64()
    record.promoted = try fixed64()
    record.returned = try fixed64()
    if try flag() {
      record.recovery = RecoveryProgress(
        plan: try fixedBytes(), step: try fixed64(), steps: try fixed64())
    }
    return record
  }
}

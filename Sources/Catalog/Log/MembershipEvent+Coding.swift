extension LogFormat.EventKind {
  static let capabilityEnabled: UInt8 = 9
  static let memberJoined: UInt8 = 10
  static let memberLeft: UInt8 = 11
  static let silenceReported: UInt8 = 12
  static let regionSuspected: UInt8 = 13
  static let regionCleared: UInt8 = 14
  static let regionLost: UInt8 = 15
  static let regionReturning: UInt8 = 16
  static let regionSwept: UInt8 = 17
  static let groupsHomed: UInt8 = 18
  static let leaderPreferenceSet: UInt8 = 19
  static let promotionPolicySet: UInt8 = 20
  static let recoveryAdvanced: UInt8 = 21
  static let regionClaimed: UInt8 = 22

  /// The kinds that ``MembershipEvent`` has; the bytes up to 40 are kept for it.
  static let membership: ClosedRange<UInt8> = capabilityEnabled...regionClaimed
}

extension ByteWriter {
  mutating func membershipEvent(_ event: MembershipEvent) throws(LogCodingError) {
    switch event {
    case .capabilityEnabled(let bit, let name):
      byte(LogFormat.EventKind.capabilityEnabled)
      byte(bit)
      varint(UInt64(name.utf8.count))
      append(Array(name.utf8))
    case .memberJoined(let member, let address, let region, let capabilities):
      byte(LogFormat.EventKind.memberJoined)
      self.member(member)
      guard address.utf8.count <= MembershipEvent.maximumAddressLength else {
        throw LogCodingError(.addressTooLong(byteCount: address.utf8.count), at: bytes.count)
      }
      try text(address)
      self.region(region)
      varint(UInt64(capabilities.rawValue))
    case .memberLeft(let member):
      byte(LogFormat.EventKind.memberLeft)
      self.member(member)
    case .silenceReported(let member, let region, let isSilent):
      byte(LogFormat.EventKind.silenceReported)
      self.member(member)
      self.region(region)
      flag(isSilent)
    case .regionSuspected(let region):
      byte(LogFormat.EventKind.regionSuspected)
      self.region(region)
    case .regionCleared(let region):
      byte(LogFormat.EventKind.regionCleared)
      self.region(region)
    case .regionLost(let region, let epoch):
      byte(LogFormat.EventKind.regionLost)
      self.region(region)
      varint(epoch)
    case .regionReturning(let region, let epoch):
      byte(LogFormat.EventKind.regionReturning)
      self.region(region)
      varint(epoch)
    case .regionSwept(let region, let epoch, let group, let route, let changed, let isLast):
      byte(LogFormat.EventKind.regionSwept)
      self.region(region)
      varint(epoch)
      varint(group.rawValue)
      varint(route.rawValue)
      varint(changed)
      flag(isLast)
    case .groupsHomed(let groups, let region):
      byte(LogFormat.EventKind.groupsHomed)
      optionalRegion(region)
      varint(UInt64(groups.count))
      guard !groups.isEmpty, zip(groups, groups.dropFirst()).allSatisfy({ $0 < $1 }) else {
        throw LogCodingError(.groupsNotAscending, at: bytes.count)
      }
      for group in groups { varint(group.rawValue) }
    case .leaderPreferenceSet(let region, let order):
      byte(LogFormat.EventKind.leaderPreferenceSet)
      self.region(region)
      regionOrder(order)
    case .promotionPolicySet(let policy, let span):
      byte(LogFormat.EventKind.promotionPolicySet)
      member(policy)
      flag(span != nil)
      if let span { try self.span(span) }
    case .recoveryAdvanced(let region, let epoch, let plan, let step, let steps, let promoted):
      byte(LogFormat.EventKind.recoveryAdvanced)
      self.region(region)
      varint(epoch)
      append(plan.bytes)
      varint(step)
      varint(steps)
      varint(promoted)
    case .regionClaimed(let claim):
      byte(LogFormat.EventKind.regionClaimed)
      write(claim)
    }
  }

  mutating func flag(_ value: Bool) { byte(value ? 1 : 0) }

  mutating func member(_ member: MemberName) {
    varint(UInt64(member.name.utf8.count))
    append(Array(member.name.utf8))
  }

  mutating func region(_ region: Region) {
    varint(UInt64(region.name.utf8.count))
    append(Array(region.name.utf8))
  }

  mutating func optionalRegion(_ region: Region?) {
    flag(region != nil)
    if let region { self.region(region) }
  }

  /// Regions in an order that means something.
  mutating func regionOrder(_ order: [Region]) {
    varint(UInt64(order.count))
    for region in order { self.region(region) }
  }

  mutating func span(_ span: KeySpan) throws(LogCodingError) {
    try key(span.lower)
    flag(span.upper != nil)
    if let upper = span.upper { try key(upper) }
  }
}

extension ByteReader {
  /// The event of one of the kinds of ``LogFormat/EventKind/membership``, after its first byte.
  mutating func membershipEvent(kind: UInt8, at start: Int) throws(LogCodingError)
    -> MembershipEvent
  {
    switch kind {
    case LogFormat.EventKind.capabilityEnabled:
      return .capabilityEnabled(bit: try capabilityBit(), name: try capabilityName())
    case LogFormat.EventKind.memberJoined:
      return .memberJoined(
        try member(), address: try address(), region: try region(),
        capabilities: try capabilities())
    case LogFormat.EventKind.memberLeft:
      return .memberLeft(try member())
    case LogFormat.EventKind.silenceReported:
      return .silenceReported(by: try member(), of: try region(), isSilent: try flag())
    case LogFormat.EventKind.regionSuspected:
      return .regionSuspected(try region())
    case LogFormat.EventKind.regionCleared:
      return .regionCleared(try region())
    case LogFormat.EventKind.regionLost:
      return .regionLost(try region(), epoch: try varint())
    case LogFormat.EventKind.regionReturning:
      return .regionReturning(try region(), epoch: try varint())
    case LogFormat.EventKind.regionSwept:
      return .regionSwept(
        try region(), epoch: try varint(), group: GroupID(try varint()),
        route: RouteID(try varint()), changed: try varint(), isLast: try flag())
    case LogFormat.EventKind.groupsHomed:
      let region = try optionalRegion()
      return .groupsHomed(try ascendingGroups(), in: region)
    case LogFormat.EventKind.leaderPreferenceSet:
      return .leaderPreferenceSet(try region(), try regionOrder())
    case LogFormat.EventKind.promotionPolicySet:
      let policy = try member()
      return .promotionPolicySet(policy, try flag() ? try span() : nil)
    case LogFormat.EventKind.recoveryAdvanced:
      return .recoveryAdvanced(
        try region(), epoch: try varint(), plan: try fixedBytes(), step: try varint(),
        steps: try varint(), promoted: try varint())
    case LogFormat.EventKind.regionClaimed:
      return .regionClaimed(try claim())
    default:
      throw LogCodingError(.unknownEventKind(kind), at: start)
    }
  }

  mutating func flag() throws(LogCodingError) -> Bool {
    let start = offset
    let value = try byte()
    guard value < 2 else { throw LogCodingError(.notAFlag(value), at: start) }
    return value == 1
  }

  private mutating func name(_ problem: LogCodingError.Problem) throws(LogCodingError) -> String {
    let start = offset
    let length = try varint()
    guard length <= UInt64(Region.maximumLength) else { throw LogCodingError(problem, at: start) }
    // What is not UTF-8 is mended to a letter that no name has.
    return String(decoding: try slice(count: Int(length)), as: UTF8.self)
  }

  mutating func member() throws(LogCodingError) -> MemberName {
    let start = offset
    guard let member = try? MemberName(try name(.badMemberName)) else {
      throw LogCodingError(.badMemberName, at: start)
    }
    return member
  }

  mutating func region() throws(LogCodingError) -> Region {
    let start = offset
    guard let region = try? Region(try name(.badRegionName)) else {
      throw LogCodingError(.badRegionName, at: start)
    }
    return region
  }

  mutating func optionalRegion() throws(LogCodingError) -> Region? {
    try flag() ? try region() : nil
  }

  /// Regions in an order that means something, each once.
  mutating func regionOrder() throws(LogCodingError) -> [Region] {
    let start = offset
    let count = try count(minimumByteCount: LogFormat.minimumRegionByteCount)
    guard count <= Region.maximumCount else {
      throw LogCodingError(.tooManyRegions(count: count), at: start)
    }
    var order: [Region] = []
    for _ in 0..<count {
      let start = offset
      let region = try region()
      guard !order.contains(region) else { throw LogCodingError(.regionTwice, at: start) }
      order.append(region)
    }
    return order
  }

  mutating func address() throws(LogCodingError) -> String {
    let start = offset
    let address = try text()
    guard address.utf8.count <= MembershipEvent.maximumAddressLength else {
      throw LogCodingError(.addressTooLong(byteCount: address.utf8.count), at: start)
    }
    return address
  }

  mutating func capabilities() throws(LogCodingError) -> CapabilitySet {
    let start = offset
    guard let bits = UInt16(exactly: try varint()) else {
      throw LogCodingError(.badCapability, at: start)
    }
    return CapabilitySet(rawValue: bits)
  }

  mutating func capabilityBit() throws(LogCodingError) -> UInt8 {
    let start = offset
    let bit = try byte()
    guard bit < UInt8(Capability.limit) else { throw LogCodingError(.badCapability, at: start) }
    return bit
  }

  mutating func capabilityName() throws(LogCodingError) -> String {
    let start = offset
    let name = try name(.badCapability)
    guard Capability.isName(name.utf8) else { throw LogCodingError(.badCapability, at: start) }
    return name
  }

  mutating func ascendingGroups() throws(LogCodingError) -> [GroupID] {
    let start = offset
    let count = try count(minimumByteCount: 1)
    guard count > 0 else { throw LogCodingError(.groupsNotAscending, at: start) }
    var groups: [GroupID] = []
    groups.reserveCapacity(min(count, LogFormat.reservationLimit))
    for _ in 0..<count {
      let start = offset
      let group = GroupID(try varint())
      if let last = groups.last, group <= last {
        throw LogCodingError(.groupsNotAscending, at: start)
      }
      groups.append(group)
    }
    return groups
  }

  mutating func span() throws(LogCodingError) -> KeySpan {
    let start = offset
    let lower = try key()
    guard try flag() else { return KeySpan(unchecked: lower, nil) }
    let upper = try key()
    guard lower < upper else { throw LogCodingError(.emptySpan, at: start) }
    return KeySpan(unchecked: lower, upper)
  }
}

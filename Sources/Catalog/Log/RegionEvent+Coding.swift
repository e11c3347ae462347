extension ByteWriter {
  /// The event's kind, then its fields; `FORMAT.md` describes them.
  mutating func regionEvent(_ event: RegionEvent) throws(LogCodingError) {
    switch event {
    case .groupsLed(let led, let term):
      byte(LogFormat.EventKind.groupsLed)
      try groups(led)
      name(term.leader.name)
      varint(term.term.rawValue)
      fixed64(term.floor.rawValue)
      fixed64(term.ceiling.rawValue)
      varint(term.lease.rawValue)
      varint(term.wait.rawValue)
    case .ceilingsRaised(let raised, let term, let ceiling):
      byte(LogFormat.EventKind.ceilingsRaised)
      try groups(raised)
      varint(term.rawValue)
      fixed64(ceiling.rawValue)
    case .groupsRetired(let retired, let term, let floor, let lease):
      byte(LogFormat.EventKind.groupsRetired)
      try groups(retired)
      varint(term.rawValue)
      fixed64(floor.rawValue)
      varint(lease.rawValue)
    case .groupsDeparted(let departed, let region, let clock):
      byte(LogFormat.EventKind.groupsDeparted)
      try groups(departed)
      name(region.name)
      handover(clock)
    case .groupsArrived(let arrived, let region, let clock):
      byte(LogFormat.EventKind.groupsArrived)
      try groups(arrived)
      name(region.name)
      handover(clock)
    case .transactionBegun(let id, let participants, let expiry):
      byte(LogFormat.EventKind.transactionBegun)
      append(id.bytes)
      try groups(participants)
      fixed64(expiry.rawValue)
    case .transactionDecided(let id, let outcome):
      byte(LogFormat.EventKind.transactionDecided)
      append(id.bytes)
      self.outcome(outcome)
    }
  }

  /// ``runs(of:)`` of at least one group.
  private mutating func groups(_ groups: GroupSet) throws(LogCodingError) {
    guard !groups.isEmpty else { throw LogCodingError(.noGroups, at: bytes.count) }
    runs(of: groups)
  }

  /// The number of runs; of each how far its first id is past the least that it could be, and how
  /// many ids follow.
  mutating func runs(of groups: GroupSet) {
    varint(UInt64(groups.runs.count))
    var least: UInt64 = 0
    for run in groups.runs {
      varint(run.first.rawValue - least)
      varint(run.last.rawValue - run.first.rawValue)
      // Two runs that touched would be one. What overflows belongs to the last run.
      least = run.last.rawValue &+ 2
    }
  }

  mutating func name(_ name: String) {
    varint(UInt64(name.utf8.count))
    append(Array(name.utf8))
  }

  private mutating func handover(_ clock: ClockHandover) {
    varint(clock.term.rawValue)
    fixed64(clock.ceiling.rawValue)
    fixed64(clock.floor.rawValue)
    varint(clock.lease.rawValue)
  }

  mutating func outcome(_ outcome: TransactionOutcome) {
    switch outcome {
    case .committed(let time):
      byte(1)
      fixed64(time.rawValue)
    case .aborted: byte(2)
    }
  }
}

extension ByteReader {
  /// What follows the kind of an event of a region's stream; nil when there is no such kind.
  mutating func regionEvent(kind: UInt8) throws(LogCodingError) -> RegionEvent? {
    switch kind {
    case LogFormat.EventKind.groupsLed:
      return .groupsLed(
        try groups(),
        LeaderTerm(
          leader: try memberName(), term: Term(try varint()),
          floor: HybridTimestamp(try fixed64()), ceiling: HybridTimestamp(try fixed64()),
          lease: Milliseconds(try varint()), wait: Milliseconds(try varint())))
    case LogFormat.EventKind.ceilingsRaised:
      return .ceilingsRaised(
        try groups(), term: Term(try varint()), to: HybridTimestamp(try fixed64()))
    case LogFormat.EventKind.groupsRetired:
      return .groupsRetired(
        try groups(), term: Term(try varint()), floor: HybridTimestamp(try fixed64()),
        lease: Milliseconds(try varint()))
    case LogFormat.EventKind.groupsDeparted:
      return .groupsDeparted(try groups(), to: try regionName(), try handover())
    case LogFormat.EventKind.groupsArrived:
      return .groupsArrived(try groups(), from: try regionName(), try handover())
    case LogFormat.EventKind.transactionBegun:
      return .transactionBegun(
        try fixedBytes(), participants: try groups(), expiry: HybridTimestamp(try fixed64()))
    case LogFormat.EventKind.transactionDecided:
      return .transactionDecided(try fixedBytes(), try outcome())
    default:
      return nil
    }
  }

  /// Groups, at least one.
  private mutating func groups() throws(LogCodingError) -> GroupSet {
    let start = offset
    let groups = try runs()
    guard !groups.isEmpty else { throw LogCodingError(.noGroups, at: start) }
    return groups
  }

  /// Groups in the one form that ``ByteWriter/runs(of:)`` writes.
  mutating func runs() throws(LogCodingError) -> GroupSet {
    let count = try count(minimumByteCount: LogFormat.minimumRunByteCount)
    var groups = GroupSet()
    var least: UInt64? = 0
    for _ in 0..<count {
      let start = offset
      let (gap, length) = (try varint(), try varint())
      guard let floor = least, case (let first, false) = floor.addingReportingOverflow(gap),
        case (let last, false) = first.addingReportingOverflow(length)
      else { throw LogCodingError(.groupPastTheLast, at: start) }
      groups.append(GroupRun(GroupID(first), through: GroupID(last)))
      least = last > .max - 2 ? nil : last + 2
    }
    return groups
  }

  private mutating func handover() throws(LogCodingError) -> ClockHandover {
    ClockHandover(
      term: Term(try varint()), ceiling: HybridTimestamp(try fixed64()),
      floor: HybridTimestamp(try fixed64()), lease: Milliseconds(try varint()))
  }

  private mutating func outcome() throws(LogCodingError) -> TransactionOutcome {
    let start = offset
    switch try byte() {
    case 1: return .committed(at: HybridTimestamp(try fixed64()))
    case 2: return .aborted
    case let number: throw LogCodingError(.unknownOutcome(number), at: start)
    }
  }

  mutating func regionName() throws(LogCodingError) -> Region {
    let start = offset
    let name = try shortText()
    guard let name, let region = try? Region(name) else {
      throw LogCodingError(.badRegionName, at: start)
    }
    return region
  }

  mutating func memberName() throws(LogCodingError) -> MemberName {
    let start = offset
    let text = try shortText()
    guard let text, let name = try? MemberName(text) else {
      throw LogCodingError(.badMemberName, at: start)
    }
    return name
  }

  /// As much as a name can have, mended where it is no UTF-8; nil when there is more.
  private mutating func shortText() throws(LogCodingError) -> String? {
    let length = try varint()
    guard length <= UInt64(Region.maximumLength) else { return nil }
    return String(decoding: try slice(count: Int(length)), as: UTF8.self)
  }
}

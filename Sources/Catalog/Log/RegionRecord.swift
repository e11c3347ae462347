/// One of the things that the state of a region consists of, as the bytes that stand for it in a
/// digest and in a base.
package enum RegionRecord: Hashable, Sendable {
  /// A run of groups whose clocks are alike, as long as it can be.
  case clocks(GroupRun, GroupClock)
  case transaction(Transaction)

  // 0 and 1 are the records of a catalog's header and routes.
  private static let clocksKind: UInt8 = 2
  private static let transactionKind: UInt8 = 3

  /// The record's bytes; `FORMAT.md` describes them.
  package var bytes: [UInt8] {
    var writer = ByteWriter(reserving: 96)
    switch self {
    case .clocks(let groups, let clock):
      writer.byte(Self.clocksKind)
      writer.fixed64(groups.first.rawValue)
      writer.fixed64(groups.last.rawValue)
      writer.fixed64(clock.ceiling.rawValue)
      writer.fixed64(clock.term.rawValue)
      switch clock.standing {
      case .led(let member, let floor, let lease, let wait):
        writer.byte(0)
        writer.name(member.name)
        writer.fixed64(floor.rawValue)
        writer.varint(lease.rawValue)
        writer.varint(wait.rawValue)
      case .vacant(let floor, let lease):
        writer.byte(1)
        writer.fixed64(floor.rawValue)
        writer.varint(lease.rawValue)
      case .departed(let region):
        writer.byte(2)
        writer.name(region.name)
      }
    case .transaction(let transaction):
      writer.byte(Self.transactionKind)
      writer.append(transaction.id.bytes)
      writer.runs(of: transaction.participants)
      writer.fixed64(transaction.expiry.rawValue)
      if let outcome = transaction.outcome { writer.outcome(outcome) } else { writer.byte(0) }
    }
    return writer.bytes
  }

  /// Reads records one after the other, each in the one form that ``bytes`` writes.
  ///
  /// - Throws: ``LogCodingError``. No bytes trap.
  package static func decode(
    _ bytes: UnsafeRawBufferPointer, _ body: (RegionRecord) -> Void
  ) throws(LogCodingError) {
    var reader = ByteReader(bytes)
    while reader.remaining > 0 { body(try reader.regionRecord()) }
  }
}

extension ByteReader {
  fileprivate mutating func regionRecord() throws(LogCodingError) -> RegionRecord {
    let start = offset
    switch try byte() {
    case 2: return try clocksRecord()
    case 3:
      return .transaction(
        Transaction(
          id: try fixedBytes(), participants: try runs(),
          expiry: HybridTimestamp(try fixed64()), outcome: try optionalOutcome()))
    case let kind: throw LogCodingError(.unknownRecordKind(kind), at: start)
    }
  }

  private mutating func clocksRecord() throws(LogCodingError) -> RegionRecord {
    let start = offset
    let (first, last) = (GroupID(try fixed64()), GroupID(try fixed64()))
    guard first <= last else { throw LogCodingError(.noGroups, at: start) }
    let ceiling = HybridTimestamp(try fixed64())
    let term = Term(try fixed64())
    let standing: GroupClock.Standing
    let place = offset
    switch try byte() {
    case 0:
      standing = .led(
        by: try memberName(), floor: HybridTimestamp(try fixed64()),
        lease: Milliseconds(try varint()), wait: Milliseconds(try varint()))
    case 1:
      standing = .vacant(
        floor: HybridTimestamp(try fixed64()), lease: Milliseconds(try varint()))
    case 2: standing = .departed(to: try regionName())
    case let kind: throw LogCodingError(.unknownRecordKind(kind), at: place)
    }
    return .clocks(
      GroupRun(first, through: last),
      GroupClock(ceiling: ceiling, term: term, standing: standing))
  }

  private mutating func optionalOutcome() throws(LogCodingError) -> TransactionOutcome? {
    let start = offset
    switch try byte() {
    case 0: return nil
    case 1: return .committed(at: HybridTimestamp(try fixed64()))
    case 2: return .aborted
    case let number: throw LogCodingError(.unknownOutcome(number), at: start)
    }
  }
}

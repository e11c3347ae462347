/// Why bytes are not an entry of a log, or why an entry has no bytes.
package struct LogCodingError: Error, Hashable, Sendable {
  /// Where in the entry's bytes: the offset of the first byte of what is wrong.
  package let offset: Int
  package let problem: Problem

  package init(_ problem: Problem, at offset: Int) {
    self.offset = offset
    self.problem = problem
  }

  package enum Problem: Hashable, Sendable {
    /// The bytes end in the middle of something.
    case truncated
    /// Bytes follow the last event.
    case trailingBytes(count: Int)
    /// The bytes do not begin with those of an entry.
    case notAnEntry
    /// A format that this reader does not know; it knows ``LogFormat/version``.
    case unknownFormat(UInt8)
    /// A kind of stream that this reader does not know.
    case unknownStream(UInt8)
    /// Flags that are not zero.
    case unknownFlags(UInt8)
    /// The entry needs capabilities that this reader lacks: these.
    case lacksCapabilities(CapabilitySet)
    /// The entry says that it needs other capabilities than its events do.
    case wrongCapabilities(CapabilitySet, needed: CapabilitySet)
    /// A kind of event that this reader does not know: a newer writer made the entry.
    case unknownEventKind(UInt8)
    /// A kind of event that streams of this kind do not have.
    case eventOfOtherStream(kind: UInt8, StreamKind)
    /// The entry does not ask for what every entry of such a stream needs, or asks for what another
    /// kind of stream does; as sets of bits.
    case wrongStreamCapabilities(UInt16, needed: UInt16)
    /// A number in more bytes than it takes.
    case varintNotShortest
    /// A number past 2^64 - 1.
    case varintTooLarge
    /// A count or length that promises more than the bytes left can hold.
    case countTooLarge(UInt64)
    case keyTooLong(byteCount: UInt64)
    /// An actor or reason of more than ``LogEntry/maximumTextByteCount`` bytes.
    case textTooLong(byteCount: UInt64)
    case textNotUTF8
    case badRegionName
    case badMemberName
    /// A capability's bit past the last, or a name of another form than theirs.
    case badCapability
    /// A byte that is to be 0 or 1.
    case notAFlag(UInt8)
    /// A region that is there twice in an order of regions.
    case regionTwice
    /// Groups that are not in ascending order, one that is there twice, or none.
    case groupsNotAscending
    /// A kind of record that a membership does not have.
    case unknownRecord(UInt8)
    /// A number that no status of a member or region has.
    case unknownStatus(UInt8)
    /// Records or names that are not in ascending order, each once.
    case recordsNotAscending
    /// A span that ends before it starts.
    case emptySpan
    /// More than ``MembershipEvent/maximumAddressLength`` bytes.
    case addressTooLong(byteCount: Int)
    /// Regions that are not in ascending order, or one that is there twice.
    case regionsNotAscending
    /// More than ``Region/maximumCount`` regions for a route.
    case tooManyRegions(count: Int)
    case unknownRouteState(UInt8)
    /// A set of groups without any.
    case noGroups
    /// A run of groups that goes past the last id that there can be.
    case groupPastTheLast
    case unknownOutcome(UInt8)
    /// A kind of record that the state of a region does not have.
    case unknownRecordKind(UInt8)
    /// More than ``LogEntry/maximumByteCount`` bytes.
    case entryTooLong(byteCount: Int)
  }
}

extension LogCodingError: CustomStringConvertible {
  /// What is wrong, and where.
  package var description: String { "byte \(offset) of the entry: \(problem)" }

  /// Whether a newer version of the software could read these bytes: they are not damaged, this
  /// reader is too old for them.
  package var needsNewerReader: Bool {
    switch problem {
    case .unknownFormat, .unknownStream, .unknownFlags, .lacksCapabilities, .unknownEventKind:
      true
    case .truncated, .trailingBytes, .notAnEntry, .varintNotShortest, .varintTooLarge,
      .countTooLarge, .keyTooLong, .textTooLong, .textNotUTF8, .badRegionName,
      .regionsNotAscending, .tooManyRegions, .unknownRouteState, .entryTooLong,
      .eventOfOtherStream, .wrongStreamCapabilities, .badMemberName, .noGroups,
      .groupPastTheLast, .unknownOutcome, .unknownRecordKind, .wrongCapabilities, .badCapability,
      .notAFlag, .regionTwice, .groupsNotAscending, .unknownRecord, .unknownStatus,
      .recordsNotAscending, .emptySpan, .addressTooLong:
      false
    }
  }
}

extension LogCodingError.Problem: CustomStringConvertible {
  package var description: String {
    switch self {
    case .truncated: "the bytes end too early"
    case .trailingBytes(let count): "\(count) bytes follow the last event"
    case .notAnEntry: "these are not the first bytes of an entry"
    case .unknownFormat(let format):
      "format \(format) is unknown here, format \(LogFormat.version) is the newest that is known"
    case .unknownStream(let kind): "streams of kind \(kind) are unknown here"
    case .unknownFlags(let flags): "the flags \(flags) are unknown here"
    case .lacksCapabilities(let lacking):
      "the entry needs \(lacking), which this release lacks"
    case .wrongCapabilities(let found, let needed):
      "the entry says that it needs the capabilities \(found.bits), its events need \(needed.bits)"
    case .unknownEventKind(let kind): "events of kind \(kind) are unknown here"
    case .eventOfOtherStream(let kind, let stream):
      "a \(stream)'s stream has no events of kind \(kind)"
    case .wrongStreamCapabilities(let found, let needed):
      "the entry asks for the capabilities \(found) (a set of bits), those of its stream need "
        + "\(needed)"
    case .varintNotShortest: "a number is written in more bytes than it takes"
    case .varintTooLarge: "a number is past 2^64 - 1"
    case .countTooLarge(let count): "\(count) things cannot be in the bytes that are left"
    case .keyTooLong(let count):
      "a key of \(count) bytes, where at most \(Key.maximumLength) are allowed"
    case .textTooLong(let count):
      "a text of \(count) bytes, where at most \(LogEntry.maximumTextByteCount) are allowed"
    case .textNotUTF8: "a text is not UTF-8"
    case .badMemberName: "a member's name is not of the form that members have"
    case .badCapability: "a capability's bit or name is none"
    case .notAFlag(let value): "a byte that is to be 0 or 1 is \(value)"
    case .regionTwice: "a region is there twice"
    case .groupsNotAscending: "groups are not in ascending order, each once, or there are none"
    case .unknownRecord(let kind): "records of kind \(kind) are none of a membership"
    case .unknownStatus(let status): "no member or region has the status \(status)"
    case .recordsNotAscending: "records are not in ascending order, each once"
    case .emptySpan: "a span ends before it starts"
    case .addressTooLong(let count):
      "an address of \(count) bytes, where at most \(MembershipEvent.maximumAddressLength) are "
        + "allowed"
    case .badRegionName: "a region's name is not of the form that regions have"
    case .regionsNotAscending: "regions are not in ascending order, each once"
    case .tooManyRegions(let count):
      "\(count) regions for a route, where at most \(Region.maximumCount) are allowed"
    case .unknownRouteState(let state): "no state of a route has the number \(state)"
    case .noGroups: "a set of groups has none"
    case .groupPastTheLast: "groups go past the last id that there can be"
    case .unknownRecordKind(let kind): "a region has no records of kind \(kind)"
    case .unknownOutcome(let number): "no outcome of a transaction has the number \(number)"
    case .entryTooLong(let count):
      "the entry takes \(count) bytes or more, where at most \(LogEntry.maximumByteCount) are "
        + "allowed"
    }
  }
}

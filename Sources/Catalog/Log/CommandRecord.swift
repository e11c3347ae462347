/// New routes with consecutive ids, at least one.
package struct RouteIDRun: Hashable, Sendable {
  package var first: RouteID
  package var count: UInt64

  package init(first: RouteID, count: UInt64) {
    self.first = first
    self.count = count
  }

  /// The id that would go on with the run; nil past the last one that there can be.
  fileprivate var next: RouteID? {
    let (next, overflow) = first.rawValue.addingReportingOverflow(count)
    return overflow ? nil : RouteID(next)
  }
}

/// What a log remembers of a command once its entry is gone: what was asked for, as far as that was
/// known, and what became of it. With it a command that is sent again has the same answer as ever.
package struct CommandRecord: Hashable, Sendable {
  /// That of the command's entry.
  package var position: LogPosition
  package var command: CommandID
  /// Of what was asked; nil when the entry came from another log.
  package var fingerprint: ChangeFingerprint?
  /// The catalog's version after the entry; zero in the stream of a region.
  package var version: CatalogVersion
  /// The ids that the entry gave to new routes, in the order of its events: each run as long as it
  /// can be.
  package private(set) var newRoutes: [RouteIDRun] = []

  package init(
    position: LogPosition, command: CommandID, fingerprint: ChangeFingerprint?,
    version: CatalogVersion
  ) {
    self.position = position
    self.command = command
    self.fingerprint = fingerprint
    self.version = version
  }

  /// The record of the command that made `entry`. O(*m*) in the number of events.
  package init(_ entry: LogEntry, fingerprint: ChangeFingerprint?) {
    self.init(
      position: entry.position, command: entry.command, fingerprint: fingerprint,
      version: entry.version)
    for id in entry.newRoutes {
      if let last = newRoutes.last, last.next == id {
        newRoutes[newRoutes.count - 1].count += 1
      } else {
        newRoutes.append(RouteIDRun(first: id, count: 1))
      }
    }
  }
}

extension CommandRecord {
  /// As many routes as one entry could make.
  private static let maximumRouteCount = UInt64(LogEntry.maximumByteCount)

  /// The record without its position, as `FORMAT.md` describes it.
  package var bytes: [UInt8] {
    var writer = ByteWriter(reserving: 48)
    writer.append(command.bytes)
    writer.byte(fingerprint == nil ? 0 : 1)
    if let fingerprint { writer.append(fingerprint.bytes) }
    writer.varint(version.rawValue)
    writer.varint(UInt64(newRoutes.count))
    for run in newRoutes {
      writer.varint(run.first.rawValue)
      writer.varint(run.count)
    }
    return writer.bytes
  }

  /// Reads what ``bytes`` writes, and nothing else.
  ///
  /// - Throws: ``LogCodingError``. No bytes trap.
  package init(
    decoding bytes: UnsafeRawBufferPointer, at position: LogPosition
  ) throws(LogCodingError) {
    var reader = ByteReader(bytes)
    self = try reader.commandRecord(at: position)
    guard reader.remaining == 0 else {
      throw LogCodingError(.trailingBytes(count: reader.remaining), at: reader.offset)
    }
  }

  /// Records one after the other, each behind its position.
  ///
  /// - Throws: ``LogCodingError``, or what `body` throws. No bytes trap.
  package static func decode(
    _ bytes: UnsafeRawBufferPointer, _ body: (CommandRecord) throws(LogCodingError) -> Void
  ) throws(LogCodingError) {
    var reader = ByteReader(bytes)
    while reader.remaining > 0 {
      let start = reader.offset
      let position = LogPosition(try reader.fixed64())
      guard position > .zero, position <= .last else {
        throw LogCodingError(.recordsNotAscending, at: start)
      }
      try body(try reader.commandRecord(at: position))
    }
  }
}

extension ByteReader {
  fileprivate mutating func commandRecord(
    at position: LogPosition
  ) throws(LogCodingError) -> CommandRecord {
    let command: CommandID = try fixedBytes()
    let place = offset
    let flag = try byte()
    guard flag < 2 else { throw LogCodingError(.notAFlag(flag), at: place) }
    let fingerprint: ChangeFingerprint? = flag == 1 ? try fixedBytes() : nil
    var record = CommandRecord(
      position: position, command: command, fingerprint: fingerprint,
      version: CatalogVersion(try varint()))
    for _ in 0..<(try count(minimumByteCount: 2)) { try record.add(try routeIDRun()) }
    return record
  }

  private mutating func routeIDRun() throws(LogCodingError) -> (run: RouteIDRun, offset: Int) {
    let start = offset
    return (RouteIDRun(first: RouteID(try varint()), count: try varint()), start)
  }
}

extension CommandRecord {
  fileprivate mutating func add(
    _ read: (run: RouteIDRun, offset: Int)
  ) throws(LogCodingError) {
    let run = read.run
    guard run.count > 0, run.count <= Self.maximumRouteCount, run.next != nil else {
      throw LogCodingError(.countTooLarge(run.count), at: read.offset)
    }
    if let last = newRoutes.last, last.next == run.first {
      throw LogCodingError(.recordsNotAscending, at: read.offset)
    }
    newRoutes.append(run)
  }

  /// The ids that the entry gave to new routes. O(*n*) in their number.
  package var newRouteIDs: [RouteID] {
    newRoutes.flatMap { run in
      (0..<run.count).map { RouteID(run.first.rawValue + $0) }
    }
  }
}

extension LogEntry {
  /// The ids that the entry gave to new routes, in the order of its events.
  package var newRoutes: [RouteID] {
    events.flatMap { (event) -> [RouteID] in
      switch event {
      case .routesBootstrapped(let seeds): seeds.map(\.id)
      case .routeSplit(_, _, _, let newRoute): [newRoute]
      case .routesMerged, .routeMoved, .routeStateChanged, .allowedRegionsChanged,
        .catalogCommitted, .logTrimmed, .region, .membership:
        []
      }
    }
  }
}

extension LogEntry {
  /// Reads the one form that ``encoded()`` writes, and refuses every other: bytes that are accepted
  /// are the bytes that the entry encodes to. O(*n*) in their number.
  ///
  /// `reading` is what the reader can read beyond format 1.
  ///
  /// - Throws: ``LogCodingError``, which says what is wrong and where. No bytes trap.
  package init(
    decoding bytes: UnsafeRawBufferPointer, reading: CapabilitySet = .known
  ) throws(LogCodingError) {
    guard bytes.count <= Self.maximumByteCount else {
      throw LogCodingError(.entryTooLong(byteCount: bytes.count), at: Self.maximumByteCount)
    }
    var reader = ByteReader(bytes)
    let header = try LogEntryHeader(from: &reader, reading: reading)
    var events: [Event] = []
    events.reserveCapacity(min(header.eventCount, LogFormat.reservationLimit))
    for _ in 0..<header.eventCount {
      events.append(try reader.event(of: header.stream))
    }
    let stream = CapabilitySet(rawValue: header.stream.neededCapabilities)
    let needed = events.reduce(into: stream) { $0.formUnion($1.neededCapabilities) }
    guard needed == header.neededCapabilities else {
      throw LogCodingError(
        .wrongCapabilities(header.neededCapabilities, needed: needed),
        at: LogFormat.capabilitiesOffset)
    }
    guard reader.remaining == 0 else {
      throw LogCodingError(.trailingBytes(count: reader.remaining), at: reader.offset)
    }
    self.init(
      stream: header.stream, position: header.position, previous: header.previous,
      time: header.time,
      actor: header.actor, reason: header.reason, command: header.command,
      version: header.version, events: events, digest: header.digest)
  }
}

extension ByteReader {
  fileprivate mutating func event(of stream: StreamKind) throws(LogCodingError) -> Event {
    let start = offset
    let kind = try byte()
    switch stream {
    case .region:
      if let event = try regionEvent(kind: kind) { return .region(event) }
    case .catalog:
      if let event = try catalogEvent(kind: kind) { return event }
    }
    let isOfOther =
      switch stream {
      case .region: kind > 0 && kind <= LogFormat.EventKind.membership.upperBound
      case .catalog: LogFormat.EventKind.ofRegions.contains(kind)
      }
    throw LogCodingError(
      isOfOther ? .eventOfOtherStream(kind: kind, stream) : .unknownEventKind(kind), at: start)
  }

  /// What follows the kind of an event of the catalog's stream; nil when there is no such kind.
  private mutating func catalogEvent(kind: UInt8) throws(LogCodingError) -> Event? {
    switch kind {
    case LogFormat.EventKind.routesBootstrapped:
      return .routesBootstrapped(try seeds())
    case LogFormat.EventKind.routeSplit:
      return .routeSplit(
        route: RouteID(try varint()), start: try key(), boundary: try key(),
        newRoute: RouteID(try varint()))
    case LogFormat.EventKind.routesMerged:
      return .routesMerged(
        route: RouteID(try varint()), start: try key(), boundary: try key(),
        absorbed: RouteID(try varint()))
    case LogFormat.EventKind.routeMoved:
      return .routeMoved(
        route: RouteID(try varint()), start: try key(), from: GroupID(try varint()),
        to: GroupID(try varint()))
    case LogFormat.EventKind.routeStateChanged:
      return .routeStateChanged(
        route: RouteID(try varint()), start: try key(), from: try routeState(),
        to: try routeState())
    case LogFormat.EventKind.allowedRegionsChanged:
      return .allowedRegionsChanged(
        route: RouteID(try varint()), start: try key(), regions: try regions())
    case LogFormat.EventKind.catalogCommitted:
      return .catalogCommitted(
        CatalogCommitment(
          version: CatalogVersion(try varint()), position: LogPosition(try varint()),
          routesRoot: try fixedBytes(), logRoot: try fixedBytes()))
    case LogFormat.EventKind.logTrimmed:
      return .logTrimmed(
        TrimMarker(
          through: LogPosition(try varint()), hash: try fixedBytes(),
          version: CatalogVersion(try varint()), digest: try fixedBytes(), policy: try text(),
          publicKey: try fixedBytes(), signature: try fixedBytes()))
    case LogFormat.EventKind.membership:
      return .membership(try membershipEvent(kind: kind, at: offset - 1))
    default:
      return nil
    }
  }

  private mutating func seeds() throws(LogCodingError) -> [RouteSeed] {
    let count = try count(minimumByteCount: LogFormat.minimumSeedByteCount)
    var seeds: [RouteSeed] = []
    seeds.reserveCapacity(min(count, LogFormat.reservationLimit))
    for _ in 0..<count {
      seeds.append(
        RouteSeed(
          id: RouteID(try varint()), start: try key(), group: GroupID(try varint()),
          allowedRegions: try regions()))
    }
    return seeds
  }
}

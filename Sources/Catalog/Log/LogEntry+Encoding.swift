extension LogEntry {
  /// The entry's bytes in the log, of which there is one form; `FORMAT.md` describes it. O(*n*) in
  /// their number.
  ///
  /// - Throws: ``LogCodingError`` when a text, a key or the whole is too long, or regions are not
  ///   sorted.
  package func encoded() throws(LogCodingError) -> [UInt8] {
    var writer = ByteWriter(
      reserving: LogFormat.fixedByteCount + actor.utf8.count + reason.utf8.count + 16
        + events.count * 64)
    writer.byte(LogFormat.magic.0)
    writer.byte(LogFormat.magic.1)
    writer.byte(LogFormat.magic.2)
    writer.byte(LogFormat.version)
    writer.byte(stream.rawValue)
    writer.byte(0)  // Flags.
    let needed = neededCapabilities.rawValue
    writer.byte(UInt8(truncatingIfNeeded: needed))
    writer.byte(UInt8(truncatingIfNeeded: needed >> 8))
    writer.fixed64(position.rawValue)
    writer.append(previous.bytes)
    writer.fixed64(time.rawValue)
    writer.fixed64(version.rawValue)
    writer.append(digest.bytes)
    writer.append(command.bytes)
    try writer.text(actor)
    try writer.text(reason)
    writer.varint(UInt64(events.count))
    for event in events {
      let start = writer.bytes.count
      try writer.event(event)
      guard event.stream == stream else {
        throw LogCodingError(
          .eventOfOtherStream(kind: writer.bytes[start], stream), at: start)
      }
      // Asked after each, so that an entry far too long does not fill the memory first.
      guard writer.bytes.count <= Self.maximumByteCount else {
        throw LogCodingError(
          .entryTooLong(byteCount: writer.bytes.count), at: Self.maximumByteCount)
      }
    }
    return writer.bytes
  }
}

extension ByteWriter {
  fileprivate mutating func event(_ event: Event) throws(LogCodingError) {
    switch event {
    case .routesBootstrapped(let seeds):
      byte(LogFormat.EventKind.routesBootstrapped)
      varint(UInt64(seeds.count))
      for seed in seeds {
        varint(seed.id.rawValue)
        try key(seed.start)
        varint(seed.group.rawValue)
        try regions(seed.allowedRegions)
        guard bytes.count <= LogEntry.maximumByteCount else {
          throw LogCodingError(
            .entryTooLong(byteCount: bytes.count), at: LogEntry.maximumByteCount)
        }
      }
    case .routeSplit(let route, let start, let boundary, let newRoute):
      byte(LogFormat.EventKind.routeSplit)
      varint(route.rawValue)
      try key(start)
      try key(boundary)
      varint(newRoute.rawValue)
    case .routesMerged(let route, let start, let boundary, let absorbed):
      byte(LogFormat.EventKind.routesMerged)
      varint(route.rawValue)
      try key(start)
      try key(boundary)
      varint(absorbed.rawValue)
    case .routeMoved(let route, let start, let from, let to):
      byte(LogFormat.EventKind.routeMoved)
      varint(route.rawValue)
      try key(start)
      varint(from.rawValue)
      varint(to.rawValue)
    case .routeStateChanged(let route, let start, let from, let to):
      byte(LogFormat.EventKind.routeStateChanged)
      varint(route.rawValue)
      try key(start)
      byte(from.rawValue)
      byte(to.rawValue)
    case .allowedRegionsChanged(let route, let start, let allowed):
      byte(LogFormat.EventKind.allowedRegionsChanged)
      varint(route.rawValue)
      try key(start)
      try regions(allowed)
    case .catalogCommitted(let commitment):
      byte(LogFormat.EventKind.catalogCommitted)
      varint(commitment.version.rawValue)
      varint(commitment.position.rawValue)
      append(commitment.routesRoot.bytes)
      append(commitment.logRoot.bytes)
    case .logTrimmed(let marker):
      byte(LogFormat.EventKind.logTrimmed)
      varint(marker.through.rawValue)
      append(marker.hash.bytes)
      varint(marker.version.rawValue)
      append(marker.digest.bytes)
      try text(marker.policy)
      append(marker.publicKey.bytes)
      append(marker.signature.bytes)
    case .region(let event):
      try regionEvent(event)
    case .membership(let event):
      try membershipEvent(event)
    }
  }
}

import Catalog

/// The notes of a log, found without folding it, and what the log says to them itself: the root of
/// its tree at each commitment, and whose signature a marker has.
struct NoteSurvey {
  struct Commitment {
    /// The entry that it stands in.
    var entry: LogPosition
    var claim: CatalogCommitment
  }

  /// By the position that is committed to.
  private(set) var commitments: [Commitment] = []
  private(set) var markers: [(entry: LogPosition, marker: TrimMarker)] = []
  /// Commitments to what the log does not have.
  private(set) var unchecked = 0

  /// Reads the notes of the entries up to `end`. O(*n*), and decodes notes alone.
  ///
  /// - Throws: ``StoreError/damaged(_:_:)`` for the first that does not hold.
  init(
    _ log: EventLog, after start: CommitmentStart, through end: LogPosition,
    isCancelled: () -> Bool
  ) throws(StoreError) {
    try find(log, start, end, isCancelled)
    let first = start.position
    commitments.removeAll { commitment in
      let isLost = commitment.claim.position < first
      if isLost { unchecked += 1 }
      return isLost
    }
    commitments.sort { $0.claim.position < $1.claim.position }
    try checkMarkers(of: log)
    guard var frontier = start.frontier else { return }
    for commitment in commitments {
      let claim = commitment.claim
      try log.hashes(after: frontier.position, through: claim.position) { _, hash in
        frontier.append(hash)
      }
      guard frontier.root == claim.logRoot else {
        throw .damaged(
          commitment.entry, .index("it commits to other entries than there are before it"))
      }
      if isCancelled() { throw .cancelled(after: claim.position) }
    }
  }

  private mutating func find(
    _ log: EventLog, _ start: CommitmentStart, _ end: LogPosition, _ isCancelled: () -> Bool
  ) throws(StoreError) {
    var version = start.version.rawValue
    var next = start.position.next
    while next <= end {
      var last = next
      let count = Int(min(4096, end.rawValue - next.rawValue + 1))
      var found: [EncodedEntry] = []
      try log.scan(from: next, maxCount: count, maxBytes: 64 << 20) {
        (position, bytes) throws(StoreError) in
        guard bytes.count >= 64 else {
          throw .damaged(position, .undecodable("it is too short"))
        }
        let made = UInt64(
          littleEndian: bytes.loadUnaligned(fromByteOffset: 56, as: UInt64.self))
        // What makes a version is folded anyway; its notes are none of ours.
        if made == version { found.append(try EventLog.decode(bytes, at: position)) }
        version = made
        last = position
      }
      for encoded in found {
        for event in encoded.entry.events {
          let position = encoded.entry.position
          switch event {
          case .catalogCommitted(let claim):
            commitments.append(Commitment(entry: position, claim: claim))
          case .logTrimmed(let marker): markers.append((position, marker))
          case .routesBootstrapped, .routeSplit, .routesMerged, .routeMoved, .routeStateChanged,
            .allowedRegionsChanged, .region, .membership:
            break
          }
        }
      }
      if isCancelled() { throw .cancelled(after: last) }
      next = last.next
    }
  }

  private func checkMarkers(of log: EventLog) throws(StoreError) {
    for (position, marker) in markers {
      guard marker.isSigned(for: log.catalog) else {
        throw .damaged(position, .index("the signature of its trim marker does not hold"))
      }
      guard try marker.through >= log.firstPosition(),
        let entry = try log.entry(at: marker.through)
      else { continue }
      guard entry.hash == marker.hash, entry.entry.version == marker.version,
        entry.entry.digest == marker.digest
      else {
        throw .damaged(position, .index("its trim marker names another entry than there is"))
      }
    }
  }
}

/// Where the entries of a log begin, and what is known of those before.
struct CommitmentStart {
  var position: LogPosition
  var version: CatalogVersion
  /// Nil when the entries before are not known.
  var frontier: LogFrontier?
}

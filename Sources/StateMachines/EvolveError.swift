import Catalog

/// Why an entry is not folded into a state, or a state not taken over. Nothing has changed.
package enum EvolveError: Error, Equatable, Sendable {
  /// Entries are missing between the last one applied and this one.
  case gap(expected: LogPosition, found: LogPosition)
  /// The entry names another one before it than the one that was applied.
  case brokenChain(LogPosition, expected: EntryHash, found: EntryHash)
  /// Another entry than this was applied at this position.
  case forked(LogPosition, applied: EntryHash, found: EntryHash)
  /// The entry's time is not after that of the entry before, or is the last that there is.
  case timeNotAfter(LogPosition, previous: HybridTimestamp, found: HybridTimestamp)
  /// The entry makes another version than the next.
  case wrongVersion(LogPosition, expected: CatalogVersion, found: CatalogVersion)
  /// The event at this index of the entry does not fit the routes.
  case doesNotApply(LogPosition, event: Int, RouteTableError)
  /// The event at this index of the entry does not fit the members and regions.
  case doesNotFitMembers(LogPosition, event: Int, MembershipError)
  /// The event at this index of the entry speaks of entries or a version that were yet to come.
  case ahead(LogPosition, event: Int)
  /// The state after the entry is not the one whose digest the entry has.
  case diverged(LogPosition, expected: StateDigest, found: StateDigest)
  /// The event at this index of the entry does not fit the region.
  case doesNotFitRegion(LogPosition, event: Int, RegionEventError)
  /// The entry is one of another kind of stream.
  case otherStream(LogPosition)

  /// The routes of a state do not tile the keyspace, or do not fit their ids.
  case routesDoNotFit(RouteTableError)
  /// The routes of a state are not those of its digest.
  case wrongDigest(expected: StateDigest, found: StateDigest)
  /// The bytes of a state's membership are none.
  case membershipUnreadable(LogCodingError)
  /// A number of a state's header is one that no catalog reaches.
  case impossibleHeader
  /// The records of a region's state are not in their one order.
  case recordsDoNotFit

  /// What to do about an ``EvolveError``.
  package enum Recovery: Hashable, Sendable {
    /// Ask for the log again, from this position on.
    case resume(from: LogPosition)
    /// Fetch a whole state, and go on from there.
    case installState
    /// Stop at the last good version, keep serving it, and tell the operator this.
    case halt(String)
  }

  package var recovery: Recovery {
    switch self {
    case .gap(let expected, _):
      .resume(from: expected)
    case .brokenChain(let position, _, _), .forked(let position, _, _), .otherStream(let position):
      .halt(
        "Entry \(position) belongs to another history than the entries here. Verify both logs; "
          + "then rebuild the mirror whose log is wrong from an empty folder.")
    case .timeNotAfter(let position, _, _), .wrongVersion(let position, _, _),
      .doesNotApply(let position, _, _), .doesNotFitMembers(let position, _, _),
      .ahead(let position, _), .doesNotFitRegion(let position, _, _):
      .halt(
        "Entry \(position) contradicts the entries before it, though it may be in good order by "
          + "itself. Verify the log that it came from, and this one.")
    case .diverged(let position, _, _):
      .halt(
        "The state here differs from that of the writer from entry \(position) on. Verify both "
          + "logs and compare the versions of the software, then rebuild the mirror.")
    case .routesDoNotFit, .wrongDigest, .impossibleHeader, .recordsDoNotFit, .membershipUnreadable:
      .installState
    }
  }
}

extension EvolveError: CustomStringConvertible {
  /// What is wrong; ``recovery`` says what to do.
  package var description: String {
    switch self {
    case .gap(let expected, let found):
      "entry \(expected) is the next, entry \(found) came"
    case .brokenChain(let position, let expected, let found):
      "entry \(position) follows an entry with the hash \(found), the one before it here has "
        + "\(expected)"
    case .forked(let position, let applied, let found):
      "entry \(position) has the hash \(found), the one that was applied has \(applied)"
    case .timeNotAfter(let position, let previous, let found):
      "entry \(position) has the time \(found), which is not after \(previous) of the entry before"
    case .wrongVersion(let position, let expected, let found):
      "entry \(position) makes version \(found), the next one is \(expected)"
    case .doesNotApply(let position, let event, let error):
      "event \(event) of entry \(position) does not fit the routes: \(error)"
    case .doesNotFitMembers(let position, let event, let error):
      "event \(event) of entry \(position) does not fit the members: \(error)"
    case .membershipUnreadable(let error):
      "the state's members and regions cannot be read: \(error.problem)"
    case .ahead(let position, let event):
      "event \(event) of entry \(position) speaks of what had not happened yet"
    case .diverged(let position, let expected, let found):
      "after entry \(position) the state's digest is \(found), the entry says \(expected)"
    case .doesNotFitRegion(let position, let event, let error):
      "event \(event) of entry \(position) does not fit the region: \(error)"
    case .otherStream(let position):
      "entry \(position) is one of another kind of stream"
    case .recordsDoNotFit:
      "the state's records are not in their order, each once"
    case .routesDoNotFit(let error):
      "the state's routes do not fit together: \(error)"
    case .wrongDigest(let expected, let found):
      "the state's digest is \(found), its header says \(expected)"
    case .impossibleHeader:
      "the state's header has a number that no catalog reaches"
    }
  }
}

/// Something that happened to the members of a catalog, or to its regions. None of it changes a
/// route; where a region's loss does, events of routes stand beside it in the entry.
package enum MembershipEvent: Hashable, Sendable {
  /// From now on entries may need the capability with this bit. The name lets a reader that is too
  /// old say what it lacks.
  case capabilityEnabled(bit: UInt8, name: String)
  /// A member joined, or came again, perhaps elsewhere or with another binary.
  case memberJoined(MemberName, address: String, region: Region, capabilities: CapabilitySet)
  case memberLeft(MemberName)
  /// A member has heard nothing of any member of a region past the membership timeout, or hears
  /// one again.
  case silenceReported(by: MemberName, of: Region, isSilent: Bool)
  /// Some member outside the region reports it silent.
  case regionSuspected(Region)
  /// Nobody reports the region silent any more.
  case regionCleared(Region)
  /// The region is lost: what its members do under an earlier epoch counts no more.
  case regionLost(Region, epoch: UInt64)
  /// The region is there again under its epoch; the routes that stayed its own are being given back.
  case regionReturning(Region, epoch: UInt64)
  /// The routes of the groups at home in a region were gone through up to this one, and `changed` of
  /// them changed: soft-failed after its loss, made active when it returns. `isLast` ends that.
  case regionSwept(
    Region, epoch: UInt64, group: GroupID, route: RouteID, changed: UInt64, isLast: Bool)
  /// Groups, ascending, each once, have their home in a region; nil: nowhere in particular.
  case groupsHomed([GroupID], in: Region?)
  /// Where leaders of groups at home in a region should be, best first; where its routes are promoted
  /// to when it is lost.
  case leaderPreferenceSet(Region, [Region])
  /// Routes in a span may be promoted without an operator; nil: the policy is no more.
  case promotionPolicySet(PolicyName, KeySpan?)
  /// A step of a recovery plan was carried out: so many of its routes were promoted.
  case recoveryAdvanced(
    Region, epoch: UInt64, plan: EntryHash, step: UInt64, steps: UInt64, promoted: UInt64)
  /// A process is about to lead the stream of a region.
  case regionClaimed(RegionClaim)
}

extension MembershipEvent {
  /// The longest address, in bytes.
  package static let maximumAddressLength = 255
}

extension Event {
  /// What a reader must be able to read for this event.
  package var neededCapabilities: CapabilitySet {
    switch self {
    case .routesBootstrapped, .routeSplit, .routesMerged, .routeMoved, .routeStateChanged,
      .allowedRegionsChanged, .catalogCommitted, .logTrimmed:
      []
    case .membership(.regionClaimed): [.members, .regionClaims]
    case .membership: .members
    case .region: .regionStreams
    }
  }
}

extension LogEntry {
  /// What a reader must be able to read for this entry: what its header says. O(*e*) for *e* events.
  package var neededCapabilities: CapabilitySet {
    events.reduce(into: CapabilitySet(rawValue: stream.neededCapabilities)) {
      $0.formUnion($1.neededCapabilities)
    }
  }
}

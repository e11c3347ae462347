/// A process that keeps a log of the catalog and takes part in what needs many: in judging which
/// regions are there, and in what new features wait for.
package struct Member: Hashable, Sendable {
  package var name: MemberName
  /// Where other nodes reach it, `HOST:PORT`; at most ``MembershipEvent/maximumAddressLength`` bytes.
  package var address: String
  package var region: Region
  /// What its binary reads.
  package var capabilities: CapabilitySet
  package var status: MemberStatus

  package init(
    name: MemberName, address: String, region: Region, capabilities: CapabilitySet,
    status: MemberStatus
  ) {
    self.name = name
    self.address = address
    self.region = region
    self.capabilities = capabilities
    self.status = status
  }
}

/// Whether a member counts.
package enum MemberStatus: UInt8, CaseIterable, Hashable, Sendable, CustomStringConvertible {
  case active = 0
  /// It left, on purpose.
  case left = 1
  /// Its region is lost: it counts again when the region has returned.
  case suspected = 2

  package var description: String {
    switch self {
    case .active: "active"
    case .left: "left"
    case .suspected: "suspected"
    }
  }
}

/// Whether a region is there.
package enum RegionStatus: UInt8, CaseIterable, Hashable, Sendable, CustomStringConvertible {
  case up = 0
  /// Some member outside it reports it silent.
  case suspected = 1
  /// Most of the active members outside it reported it silent, or an operator said so.
  case lost = 2
  /// It is there again, and the routes that stayed its own are being given back.
  case returning = 3

  package var description: String {
    switch self {
    case .up: "up"
    case .suspected: "suspected"
    case .lost: "lost"
    case .returning: "returning"
    }
  }

  /// Whether nothing may be placed there, and its members cannot write.
  package var isFenced: Bool {
    switch self {
    case .up, .suspected: false
    case .lost, .returning: true
    }
  }
}

/// What is known of a region.
package struct RegionStanding: Hashable, Sendable {
  package var region: Region
  package var status = RegionStatus.up
  /// How often the region was lost: what is done in its name under an earlier epoch is refused.
  package var epoch: UInt64 = 0
  /// The members that report the region silent, in the order of their names.
  package var silentTo: [MemberName] = []
  /// Where leaders of groups at home here should be, best first, and where its routes go when it is
  /// lost.
  package var leaderPreference: [Region] = []
  /// How far the routes of its groups were gone through since it was lost, or since it returns.
  package var sweep = RegionSweep()
  /// How many routes became soft-failed when it was lost last, how many of them were promoted
  /// elsewhere since, and how many given back.
  package var failed: UInt64 = 0
  package var promoted: UInt64 = 0
  package var returned: UInt64 = 0
  /// The recovery plan that is being carried out, or was since the region was lost.
  package var recovery: RecoveryProgress?

  package init(_ region: Region) { self.region = region }
}

/// How far the routes of a region were gone through, by group and then by route.
package struct RegionSweep: Hashable, Sendable {
  /// The last route that was looked at.
  package var group = GroupID(0)
  package var route = RouteID(0)
  package var isDone = false

  package init() {}
}

/// How far a recovery plan was carried out.
package struct RecoveryProgress: Hashable, Sendable {
  /// Names the plan: the hash of what it says.
  package var plan: EntryHash
  /// The step that is next.
  package var step: UInt64
  package var steps: UInt64

  package init(plan: EntryHash, step: UInt64, steps: UInt64) {
    self.plan = plan
    self.step = step
    self.steps = steps
  }
}

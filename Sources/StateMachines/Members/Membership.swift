import Catalog

/// Who takes part in a catalog: its members, their regions, the homes of groups, what entries may
/// need of a reader, and how the recovery of a lost region goes.
///
/// A value: a copy costs O(1). Changes of homes share all other homes with the version before; the
/// rest is small. Its ``digest`` is the sum of its records, and zero as long as there are none.
package struct Membership: Sendable {
  /// The most members that a catalog ever has, those that left among them.
  package static let maximumMemberCount = 1000
  package static let maximumRegionCount = Region.maximumCount
  package static let maximumPolicyCount = 1000

  /// The sum of the records.
  package private(set) var digest = StateDigest.zero
  private var content: Content?

  /// Behind a reference, since most catalogs have none of it and states are copied often.
  private final class Content: Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
  }

  private struct Value: Sendable {
    var capabilities: [UInt8: String] = [:]
    var members: [MemberName: Member] = [:]
    var regions: [Region: RegionStanding] = [:]
    var policies: [PolicyName: KeySpan] = [:]
    var claims: [Region: RegionClaim] = [:]
    var homes: GroupHomes
  }

  package init() {}

  /// Whether there is nothing of it.
  package var isEmpty: Bool { content == nil }

  /// The names of the capabilities that entries may need, by bit.
  package var capabilities: [UInt8: String] { content?.value.capabilities ?? [:] }

  /// Whether entries may need a capability.
  package func isEnabled(_ capability: Capability) -> Bool {
    content?.value.capabilities[capability.bit] != nil
  }

  /// What entries may need.
  package var enabledCapabilities: CapabilitySet {
    CapabilitySet(rawValue: capabilities.keys.reduce(0) { $0 | 1 << UInt16($1) })
  }

  package func member(_ name: MemberName) -> Member? { content?.value.members[name] }

  /// All members that ever were, by name. O(*n* log *n*).
  package var members: [Member] {
    content?.value.members.values.sorted { $0.name < $1.name } ?? []
  }

  package func region(_ region: Region) -> RegionStanding? { content?.value.regions[region] }

  /// All regions, by name. O(*n* log *n*).
  package var regions: [RegionStanding] {
    content?.value.regions.values.sorted { $0.region < $1.region } ?? []
  }

  /// The spans whose routes may be promoted without an operator, by name. O(*n* log *n*).
  package var policies: [(name: PolicyName, span: KeySpan)] {
    content?.value.policies.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } ?? []
  }

  /// Who leads the stream of a region, or did last; nil when nobody ever said so here.
  package func claim(_ region: Region) -> RegionClaim? { content?.value.claims[region] }

  /// Who leads the streams of regions, by region. O(*n* log *n*).
  package var claims: [RegionClaim] {
    content?.value.claims.values.sorted { $0.region < $1.region } ?? []
  }

  /// The home of a group; nil when it has none. O(log *n*).
  package func home(of group: GroupID) -> Region? { content?.value.homes[group] }

  /// How many groups have a home.
  package var homeCount: Int { content?.value.homes.count ?? 0 }

  /// The groups at home in a region, from one on, ascending. O(log *n*) and what is returned.
  package func groups(
    in region: Region, from first: GroupID = GroupID(0), limit: Int = .max
  ) -> [GroupID] {
    content?.value.homes.groups(in: region, from: first, limit: limit) ?? []
  }

  /// Hands out the homes of all groups, by group. O(*n*).
  package func forEachHome(_ body: (GroupID, Region) -> Void) {
    content?.value.homes.forEach(body)
  }

  /// The active members outside a region: those who judge it.
  package func judges(of region: Region) -> [Member] {
    members.filter { $0.status == .active && $0.region != region }
  }
}

// MARK: Records

extension Membership {
  /// The records, one after the other: what makes this value again. O(*n*).
  package var bytes: [UInt8] {
    var bytes: [UInt8] = []
    for (bit, name) in capabilities.sorted(by: { $0.key < $1.key }) {
      bytes += MembershipRecord.capability(bit: bit, name: name).bytes
    }
    for member in members { bytes += MembershipRecord.member(member).bytes }
    for region in regions { bytes += MembershipRecord.region(region).bytes }
    forEachHome { bytes += MembershipRecord.home($0, $1).bytes }
    for (name, span) in policies { bytes += MembershipRecord.policy(name, span).bytes }
    for claim in claims { bytes += MembershipRecord.claim(claim).bytes }
    return bytes
  }

  /// Reads what ``bytes`` writes. That it is the one which was written is for its ``digest`` to show.
  /// No bytes trap. O(*n* log *n*).
  package init(decoding bytes: [UInt8], in store: IndexStore) throws(LogCodingError) {
    guard !bytes.isEmpty else { return }
    var value = Value(homes: GroupHomes(in: store))
    var sum = StateDigest.zero
    try MembershipRecord.decode(bytes) { record in
      sum += record.digest
      switch record {
      case .capability(let bit, let name): value.capabilities[bit] = name
      case .member(let member): value.members[member.name] = member
      case .region(let region): value.regions[region.region] = region
      case .home(let group, let region): value.homes.set(group, to: region)
      case .policy(let name, let span): value.policies[name] = span
      case .claim(let claim): value.claims[claim.region] = claim
      }
    }
    content = Content(value)
    digest = sum
  }
}

extension Membership: Equatable {
  /// By their records: equal digests are taken for equal records, as everywhere.
  package static func == (left: Membership, right: Membership) -> Bool {
    left.digest == right.digest
  }
}

// MARK: Changes

extension Membership {
  /// A membership in the making: what is set here is summed up at once.
  struct Editor {
    private(set) var digest: StateDigest
    private var value: Value

    fileprivate init(_ membership: Membership, in store: IndexStore) {
      digest = membership.digest
      value = membership.content?.value ?? Value(homes: GroupHomes(in: store))
    }

    fileprivate consuming func finish() -> Membership {
      var membership = Membership()
      membership.digest = digest
      membership.content = Content(value)
      return membership
    }

    var memberCount: Int { value.members.count }
    var regionCount: Int { value.regions.count }
    var policyCount: Int { value.policies.count }
    var capabilities: [UInt8: String] { value.capabilities }
    var regionNames: [Region] { value.regions.keys.sorted() }
    var memberNames: [MemberName] { value.members.keys.sorted() }

    func home(of group: GroupID) -> Region? { value.homes[group] }
    func span(of policy: PolicyName) -> KeySpan? { value.policies[policy] }
    func claim(_ region: Region) -> RegionClaim? { value.claims[region] }

    subscript(member name: MemberName) -> Member? {
      get { value.members[name] }
      set {
        replace(value.members[name].map { .member($0) }, newValue.map { .member($0) })
        value.members[name] = newValue
      }
    }

    subscript(region region: Region) -> RegionStanding? {
      get { value.regions[region] }
      set {
        replace(value.regions[region].map { .region($0) }, newValue.map { .region($0) })
        value.regions[region] = newValue
      }
    }

    mutating func enable(bit: UInt8, name: String) {
      replace(nil, .capability(bit: bit, name: name))
      value.capabilities[bit] = name
    }

    mutating func setHome(of group: GroupID, to region: Region?) {
      replace(value.homes[group].map { .home(group, $0) }, region.map { .home(group, $0) })
      value.homes.set(group, to: region)
    }

    mutating func setPolicy(_ name: PolicyName, to span: KeySpan?) {
      replace(value.policies[name].map { .policy(name, $0) }, span.map { .policy(name, $0) })
      value.policies[name] = span
    }

    mutating func put(_ claim: RegionClaim) {
      replace(value.claims[claim.region].map { .claim($0) }, .claim(claim))
      value.claims[claim.region] = claim
    }

    private mutating func replace(_ old: MembershipRecord?, _ new: MembershipRecord?) {
      if let old { digest -= old.digest }
      if let new { digest += new.digest }
    }
  }

  /// Changes it, all of `body` or nothing when that throws. `store` holds the homes of the first
  /// change; later ones stay where those are.
  mutating func edit<Failure: Error>(
    in store: IndexStore, _ body: (inout Editor) throws(Failure) -> Void
  ) throws(Failure) {
    var editor = Editor(self, in: store)
    try body(&editor)
    self = editor.finish()
  }
}

import Catalog

/// Why something about members, regions or placement is not carried out. Nothing has changed.
package enum MembershipRefusal: Error, Hashable, Sendable {
  /// How many members or routes a refusal names at most.
  package static let maximumNamedCount = 8

  /// Entries may not need the capability yet.
  case notEnabled(Capability)
  /// These active members do not read the capability; `count` of them in all.
  case lackedByMembers(Capability, [MemberName], count: Int)
  /// There is no active member that could say that it reads the capability.
  case noMembers(Capability)
  /// The member does not read what entries may need already.
  case memberLacks(MemberName, [String])
  case noSuchMember(MemberName)
  /// The member left, or its region is lost.
  case memberNotActive(MemberName, MemberStatus)
  /// A member judges its own region.
  case reporterInside(MemberName, Region)
  case noSuchRegion(Region)
  case tooMany(String, maximum: Int)
  case addressTooLong(byteCount: Int)
  case badAddress(String)

  /// The command comes in the name of a region under an epoch that is over, or that fences it.
  case fenced(RegionOrigin, RegionStanding)
  /// The region is lost, or not back yet.
  case regionNotUp(Region, RegionStatus)
  /// Only the routes of a lost region are promoted or given back.
  case regionNotLost(Region, RegionStatus)
  /// The region was lost again, or has returned, since the caller looked.
  case wrongEpoch(Region, named: UInt64, current: UInt64)
  /// Not all routes of the region are soft-failed yet, or given back.
  case notSwept(Region)

  /// Routes would be, or are, in a group whose home they are not allowed in. `count` counts them up to
  /// ``Refusal/maximumBetweenCount``.
  case misplaced([Route], group: GroupID, home: Region, count: Int)
  /// A step of a recovery plan comes before those before it.
  case stepOutOfOrder(Region, expected: UInt64, found: UInt64)
  /// Routes are not as they were when the plan was made.
  case planOutdated(Region, [Route], count: Int)
  /// A plan with another number of steps, or of no routes.
  case malformedPlan(String)
  /// Another member leads the region's stream.
  case regionClaimed(RegionClaim)
  /// The claim does not come right after the last one, which has that number.
  case claimOutOfOrder(RegionClaim, last: UInt64)
}

extension MembershipRefusal {
  /// The refusal's name, the same for ever: machines read it.
  package var code: String {
    switch self {
    case .notEnabled: "capability_not_enabled"
    case .lackedByMembers: "capability_lacked"
    case .noMembers: "no_members"
    case .memberLacks: "member_lacks_capability"
    case .noSuchMember: "no_such_member"
    case .memberNotActive: "member_not_active"
    case .reporterInside: "reporter_inside"
    case .noSuchRegion: "no_such_region"
    case .tooMany: "too_many_members"
    case .addressTooLong: "address_too_long"
    case .badAddress: "bad_address"
    case .fenced: "region_fenced"
    case .regionNotUp: "region_not_up"
    case .regionNotLost: "region_not_lost"
    case .wrongEpoch: "wrong_epoch"
    case .notSwept: "region_not_swept"
    case .misplaced: "misplaced"
    case .stepOutOfOrder: "step_out_of_order"
    case .planOutdated: "plan_outdated"
    case .malformedPlan: "malformed_plan"
    case .regionClaimed: "region_led_elsewhere"
    case .claimOutOfOrder: "claim_out_of_order"
    }
  }

  /// Whether to look again and ask anew may help, as with a version that is old.
  package var isStale: Bool {
    switch self {
    case .fenced, .wrongEpoch, .stepOutOfOrder, .planOutdated, .claimOutOfOrder: true
    case .notEnabled, .lackedByMembers, .noMembers, .memberLacks, .noSuchMember,
      .memberNotActive, .reporterInside, .noSuchRegion, .tooMany, .addressTooLong, .badAddress,
      .regionNotUp, .regionNotLost, .notSwept, .misplaced, .malformedPlan,
      .regionClaimed:
      false
    }
  }

  /// The routes that the refusal names.
  package var routes: [Route] {
    switch self {
    case .misplaced(let routes, _, _, _), .planOutdated(_, let routes, _): routes
    default: []
    }
  }
}

extension MembershipRefusal: CustomStringConvertible {
  /// What is wrong, and what to do about it.
  package var description: String {
    switch self {
    case .notEnabled(let capability):
      "entries of this catalog may not need \(capability.name) yet: turn it on with cadastre members "
        + "enable \(capability.name), once every node that reads the log can read it"
    case .lackedByMembers(let capability, let members, let count):
      "\(capability.name) is not read by \(list(members, count)): bring a newer release there, or "
        + "let the members leave that are gone for good"
    case .noMembers(let capability):
      "no active member says that it reads \(capability.name): let the nodes join first"
    case .memberLacks(let member, let names):
      "member \(member) does not read \(names.joined(separator: ", ")), which entries may need: run a "
        + "newer release there"
    case .noSuchMember(let member):
      "there is no member \(member): see cadastre members list"
    case .memberNotActive(let member, let status):
      "member \(member) is \(status): let it join again, or its region return"
    case .reporterInside(let member, let region):
      "member \(member) is in region \(region) itself: others judge it"
    case .noSuchRegion(let region):
      "there is no region \(region): a region is there once a member joins in it or a group is at home "
        + "there"
    case .tooMany(let what, let maximum):
      "that would make more than \(maximum) \(what): use what is there"
    case .addressTooLong(let count):
      "an address of \(count) bytes is too long: at most \(MembershipEvent.maximumAddressLength)"
    case .badAddress(let address):
      "\"\(address)\" is no address: write HOST:PORT"
    case .fenced(let origin, let record):
      "region \(origin.region) cannot write under epoch \(origin.epoch): it was lost and has epoch "
        + "\(record.epoch) since, is \(record.status), and of its routes \(record.failed) were "
        + "soft-failed, \(record.promoted) promoted to other groups and \(record.returned) given back"
        + (record.status.isFenced
          ? ": let it return with cadastre recover return --region \(origin.region)"
          : ": look at the catalog again and go on with epoch \(record.epoch)")
    case .regionNotUp(let region, let status):
      "region \(region) is \(status), and nothing is placed there until it is up: choose a group "
        + "elsewhere, or let it return with cadastre recover return --region \(region)"
    case .regionNotLost(let region, let status):
      "region \(region) is \(status), and only routes of a lost region are recovered: see cadastre "
        + "members list"
    case .wrongEpoch(let region, let named, let current):
      "region \(region) has epoch \(current), not \(named): it was lost or returned since; look again "
        + "and make a new plan"
    case .notSwept(let region):
      "not all routes of region \(region) are soft-failed yet: wait for it, or do it now with cadastre "
        + "recover sweep --region \(region)"
    case .misplaced(let routes, let group, let home, let count):
      "group \(group) is at home in \(home), where "
        + routes.map { "route \($0.id) \($0.span)" }.joined(separator: ", ")
        + (count > routes.count ? " and \(count - routes.count) more are" : " may")
        + " not be: allow the region, or choose a group elsewhere"
    case .stepOutOfOrder(let region, let expected, let found):
      "step \(found) of the plan for region \(region) comes before step \(expected): run the plan from "
        + "where it is"
    case .planOutdated(let region, let routes, let count):
      "the plan for region \(region) is old: \(count) of its routes changed since, such as "
        + routes.map { "route \($0.id) \($0.span)" }.joined(separator: ", ")
        + ": make a new one with cadastre recover plan --region \(region)"
    case .malformedPlan(let what):
      "the plan is none: \(what); make a new one with cadastre recover plan"
    case .regionClaimed(let claim):
      "member \(claim.member) leads the stream of region \(claim.region) under epoch "
        + "\(claim.epoch): start with --mirror-region \(claim.region) to mirror it; or, if it stopped "
        + "for good, lead here with cadastre region promote \(claim.region) --leader-stopped"
    case .claimOutOfOrder(let claim, let last):
      "the claim of region \(claim.region) has the number \(claim.number), and \(last) was given "
        + "already: look at the catalog again and take the next one"
    }
  }

  private func list(_ members: [MemberName], _ count: Int) -> String {
    members.map(\.name).joined(separator: ", ")
      + (count > members.count ? " and \(count - members.count) more" : "")
  }
}

import Catalog
import StateMachines
import TestSupport

extension MembershipChange {
  struct Mistake: Error, CustomStringConvertible {
    let description: String
  }

  /// A change in the words of a story; nil when they ask for no change of this kind.
  ///
  ///     enable CAPABILITY                   join NAME REGION [BITS]   leave NAME
  ///     silent NAME REGION                  heard NAME REGION         declare-lost REGION
  ///     sweep REGION EPOCH LIMIT            return REGION
  ///     home GROUP,… REGION|none [anyway]   prefer REGION REGION,…    policy NAME LOWER UPPER|end
  ///     claim REGION EPOCH NAME NUMBER LIMIT [replacing]
  ///     promote REGION EPOCH PLAN STEP/STEPS AT-VERSION FROM:TO:ID,… …
  init?(words: [Substring]) throws {
    let arguments = Array(words.dropFirst())
    func number(_ index: Int) throws -> UInt64 {
      guard index < arguments.count, let number = UInt64(arguments[index]) else {
        throw Mistake(description: "\(words) has no number at \(index)")
      }
      return number
    }
    func member() throws -> MemberName { try MemberName(arguments[0]) }
    switch (words.first, arguments.count) {
    case ("enable", 1):
      guard let capability = Capability(name: arguments[0]) else { return nil }
      self = .enable(capability)
    case ("join", 2...3):
      self = .join(
        try member(), address: "\(arguments[0]):4710", region: try Region(arguments[1]),
        capabilities: arguments.count > 2
          ? CapabilitySet(rawValue: UInt16(try number(2))) : .known)
    case ("leave", 1):
      self = .leave(try member())
    case ("silent", 2), ("heard", 2):
      self = .report(
        by: try member(), of: try Region(arguments[1]), isSilent: words[0] == "silent")
    case ("declare-lost", 1):
      self = .declareLost(try Region(arguments[0]))
    case ("sweep", 3):
      self = .sweep(try Region(arguments[0]), epoch: try number(1), limit: Int(try number(2)))
    case ("return", 1):
      self = .beginReturn(try Region(arguments[0]))
    case ("home", 2...3):
      self = .setHomes(
        arguments[0].split(separator: ",").compactMap { UInt64($0).map { GroupID($0) } },
        arguments[1] == "none" ? nil : try Region(arguments[1]),
        evenIfViolating: arguments.count > 2)
    case ("prefer", 2):
      self = .setLeaderPreference(
        try Region(arguments[0]), try arguments[1].split(separator: ",").map { try Region($0) })
    case ("policy", 3):
      let upper = arguments[2] == "end" ? nil : try Key(text: arguments[2])
      self = .setPromotionPolicy(
        try member(), try KeySpan(arguments[1] == "\"\"" ? .least : Key(text: arguments[1]), upper))
    case ("claim", 5...6):
      self = .claim(
        RegionClaim(
          region: try Region(arguments[0]), epoch: try number(1),
          member: try MemberName(arguments[2]), number: try number(3),
          limit: Milliseconds(try number(4))), replacing: arguments.count > 5)
    case ("promote", 6...):
      let steps = arguments[3].split(separator: "/").compactMap { UInt64($0) }
      guard steps.count == 2 else { throw Mistake(description: "no steps in \(words)") }
      let plan = Array(arguments[2].utf8).withUnsafeBytes(EntryHash.init(of:))
      self = .promote(
        PromotionStep(
          region: try Region(arguments[0]), epoch: try number(1), plan: plan,
          version: CatalogVersion(try number(4)), step: steps[0], steps: steps[1],
          moves: try arguments[5...].map { argument in
            let parts = argument.split(separator: ":")
            guard parts.count == 3, let from = UInt64(parts[0]), let to = UInt64(parts[1]) else {
              throw Mistake(description: "no move in \(argument)")
            }
            return PromotionMove(
              from: GroupID(from), to: GroupID(to),
              routes: parts[2].split(separator: ",").compactMap { UInt64($0).map { RouteID($0) } })
          }))
    default:
      return nil
    }
  }
}

extension MembershipText {
  /// A membership as stories show it.
  static func lines(of membership: Membership) -> [String] {
    var lines = membership.capabilities.sorted { $0.key < $1.key }.map {
      "capability \($0.key) \($0.value)"
    }
    lines += membership.members.map { member in
      "member \(member.name) at \(member.address) in \(member.region) \(member.status)"
    }
    lines += membership.regions.map { region in
      var text = "region \(region.region) \(region.status) epoch \(region.epoch)"
      if !region.silentTo.isEmpty {
        text += " silent to \(region.silentTo.map(\.name).joined(separator: ","))"
      }
      if !region.leaderPreference.isEmpty {
        text += " leaders in \(region.leaderPreference.map(\.name).joined(separator: ","))"
      }
      if region.failed + region.promoted + region.returned > 0 {
        text += " failed \(region.failed) promoted \(region.promoted) returned \(region.returned)"
      }
      if let recovery = region.recovery { text += " step \(recovery.step) of \(recovery.steps)" }
      return text
    }
    membership.forEachHome { lines.append("home group \($0) \($1)") }
    lines += membership.policies.map { "policy \($0.name) \($0.span)" }
    lines += membership.claims.map { claim in
      "claim region \(claim.region) epoch \(claim.epoch) by \(claim.member) number "
        + "\(claim.number) limit \(claim.limit)"
    }
    return lines.isEmpty ? ["nothing"] : lines
  }
}

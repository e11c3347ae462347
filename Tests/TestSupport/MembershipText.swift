import Catalog

/// Events and records of members as the text beside the golden files; `read_log.py` writes the same.
package enum MembershipText {
  package static func lines(of event: MembershipEvent) -> [String] {
    switch event {
    case .capabilityEnabled(let bit, let name):
      ["enable capability \(bit) name \(name)"]
    case .memberJoined(let member, let address, let region, let capabilities):
      [
        "join member \(member) address \(EntryText.quoted(Array(address.utf8))) region \(region) "
          + "capabilities \(capabilities.rawValue)"
      ]
    case .memberLeft(let member):
      ["leave member \(member)"]
    case .silenceReported(let member, let region, let isSilent):
      ["report member \(member) region \(region) \(isSilent ? "silent" : "heard")"]
    case .regionSuspected(let region): ["suspect region \(region)"]
    case .regionCleared(let region): ["clear region \(region)"]
    case .regionLost(let region, let epoch): ["lose region \(region) epoch \(epoch)"]
    case .regionReturning(let region, let epoch): ["return region \(region) epoch \(epoch)"]
    case .regionSwept(let region, let epoch, let group, let route, let changed, let isLast):
      [
        "sweep region \(region) epoch \(epoch) group \(group) route \(route) changed \(changed)"
          + (isLast ? " last" : "")
      ]
    case .groupsHomed(let groups, let region):
      [
        "home groups \(groups.map { "\($0)" }.joined(separator: ",")) "
          + "region \(region?.name ?? "none")"
      ]
    case .leaderPreferenceSet(let region, let order):
      [
        "prefer region \(region) order "
          + (order.isEmpty ? "none" : order.map(\.name).joined(separator: ","))
      ]
    case .promotionPolicySet(let name, let span):
      ["policy \(name) " + (span.map(text) ?? "none")]
    case .recoveryAdvanced(let region, let epoch, let plan, let step, let steps, let promoted):
      [
        "recover region \(region) epoch \(epoch) step \(step) of \(steps) promoted \(promoted)",
        "  plan \(plan)",
      ]
    case .regionClaimed(let claim):
      [
        "claim region \(claim.region) epoch \(claim.epoch) member \(claim.member) "
          + "number \(claim.number) limit \(claim.limit)"
      ]
    }
  }

  private static func text(_ span: KeySpan) -> String {
    "from \(EntryText.quoted(span.lower.bytes)) to "
      + (span.upper.map { EntryText.quoted($0.bytes) } ?? "end")
  }
}

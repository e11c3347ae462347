import Catalog

extension MembershipChange {
  /// Whether `events` may be what became of this change, as far as they tell.
  package func couldHaveMade(_ events: [Event]) -> Bool {
    let made = events.compactMap { event in
      if case .membership(let event) = event { event } else { nil }
    }
    guard let first = made.first, let last = made.last else { return false }
    switch (self, first, last) {
    case (.enable(let capability), .capabilityEnabled(let bit, _), _):
      return capability.bit == bit
    case (.join(let name, let address, let region, let capabilities), let event, _):
      return event
        == .memberJoined(name, address: address, region: region, capabilities: capabilities)
    case (.leave(let name), let event, _):
      return event == .memberLeft(name)
    case (.report(let reporter, let region, let isSilent), let event, _):
      return event == .silenceReported(by: reporter, of: region, isSilent: isSilent)
    case (.declareLost(let region), .regionLost(let lost, _), _),
      (.beginReturn(let region), .regionReturning(let lost, _), _):
      return region == lost
    case (.sweep(let region, let epoch, _), _, .regionSwept(let swept, let under, _, _, _, _)):
      return region == swept && epoch == under
    case (.setHomes(let groups, let region, _), .groupsHomed(let changed, let home), _):
      return region == home && Set(groups).isSuperset(of: changed)
    case (.setLeaderPreference(let region, let order), let event, _):
      return event == .leaderPreferenceSet(region, order)
    case (.setPromotionPolicy(let name, let span), let event, _):
      return event == .promotionPolicySet(name, span)
    case (.promote(let step), _, .recoveryAdvanced(let region, let epoch, let plan, let at, _, _)):
      return step.region == region && step.epoch == epoch && step.plan == plan && step.step == at
    case (.claim(let claim, _), let event, _):
      return event == .regionClaimed(claim)
    case (.enable, _, _), (.declareLost, _, _), (.beginReturn, _, _), (.sweep, _, _),
      (.setHomes, _, _), (.promote, _, _):
      return false
    }
  }
}

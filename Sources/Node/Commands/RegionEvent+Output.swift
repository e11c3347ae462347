import Catalog

extension RegionEvent {
  /// The event as `--json` writes it.
  var json: JSON {
    var fields: [(name: String, value: JSON)]
    switch self {
    case .groupsLed(let groups, let term):
      fields = [
        ("kind", "groups-led"), ("groups", .string(groups.description)),
        ("leader", .string(term.leader.name)), ("term", JSON(term.term)),
        ("floor", .string(term.floor.description)),
        ("ceiling", .string(term.ceiling.description)), ("lease_ms", JSON(term.lease)),
        ("wait_ms", JSON(term.wait)),
      ]
    case .ceilingsRaised(let groups, let term, let ceiling):
      fields = [
        ("kind", "ceilings-raised"), ("groups", .string(groups.description)),
        ("term", JSON(term)), ("ceiling", .string(ceiling.description)),
      ]
    case .groupsRetired(let groups, let term, let floor, let lease):
      fields = [
        ("kind", "groups-retired"), ("groups", .string(groups.description)),
        ("term", JSON(term)), ("floor", .string(floor.description)), ("lease_ms", JSON(lease)),
      ]
    case .groupsDeparted(let groups, let region, let clock):
      fields = [
        ("kind", "groups-departed"), ("groups", .string(groups.description)),
        ("to", .string(region.name)),
      ]
      fields += clock.fields
    case .groupsArrived(let groups, let region, let clock):
      fields = [
        ("kind", "groups-arrived"), ("groups", .string(groups.description)),
        ("from", .string(region.name)),
      ]
      fields += clock.fields
    case .transactionBegun(let id, let participants, let expiry):
      fields = [
        ("kind", "transaction-begun"), ("transaction", .string(id.description)),
        ("participants", .string(participants.description)),
        ("expiry", .string(expiry.description)),
      ]
    case .transactionDecided(let id, let outcome):
      fields = [("kind", "transaction-decided"), ("transaction", .string(id.description))]
      switch outcome {
      case .committed(let time):
        fields += [("outcome", "committed"), ("timestamp", .string(time.description))]
      case .aborted: fields += [("outcome", "aborted")]
      }
    }
    return .object(fields)
  }

  /// The event in one line, for people.
  var text: String {
    switch self {
    case .groupsLed(let groups, let term):
      "\(term.leader) leads groups \(groups) in term \(term.term), from \(term.floor), ceiling "
        + "\(term.ceiling)"
    case .ceilingsRaised(let groups, _, let ceiling):
      "ceiling of groups \(groups) to \(ceiling)"
    case .groupsRetired(let groups, let term, let floor, _):
      "the leader of groups \(groups) in term \(term) stopped before \(floor)"
    case .groupsDeparted(let groups, let region, let clock):
      "groups \(groups) left for \(region) at ceiling \(clock.ceiling)"
    case .groupsArrived(let groups, let region, let clock):
      "groups \(groups) came from \(region) at ceiling \(clock.ceiling)"
    case .transactionBegun(let id, let participants, let expiry):
      "transaction \(id) of groups \(participants) began, until \(expiry)"
    case .transactionDecided(let id, let outcome): "transaction \(id) \(outcome)"
    }
  }

  /// What kind of change it was, in a word or three.
  var kindText: String {
    switch self {
    case .groupsLed: "lead"
    case .ceilingsRaised: "ceiling"
    case .groupsRetired: "retirement"
    case .groupsDeparted: "departure"
    case .groupsArrived: "arrival"
    case .transactionBegun: "beginning"
    case .transactionDecided: "decision"
    }
  }
}

extension ClockHandover {
  fileprivate var fields: [(name: String, value: JSON)] {
    [
      ("term", JSON(term)), ("ceiling", .string(ceiling.description)),
      ("floor", .string(floor.description)), ("lease_ms", JSON(lease)),
    ]
  }
}

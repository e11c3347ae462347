import Catalog

/// What kind of thing an event is. The raw value is its name on command lines and in listings.
package enum EventKind: String, CaseIterable, Hashable, Sendable {
  case bootstrap
  case split
  case merge
  case move
  case state
  case regions
  case commitment
  case trim
  case groupsLed = "groups-led"
  case ceilingsRaised = "ceilings-raised"
  case groupsRetired = "groups-retired"
  case groupsDeparted = "groups-departed"
  case groupsArrived = "groups-arrived"
  case transactionBegun = "transaction-begun"
  case transactionDecided = "transaction-decided"
  case members

  package init(_ event: Event) {
    switch event {
    case .routesBootstrapped: self = .bootstrap
    case .routeSplit: self = .split
    case .routesMerged: self = .merge
    case .routeMoved: self = .move
    case .routeStateChanged: self = .state
    case .allowedRegionsChanged: self = .regions
    case .catalogCommitted: self = .commitment
    case .logTrimmed: self = .trim
    case .membership: self = .members
    case .region(let event): self.init(event)
    }
  }

  package init(_ event: RegionEvent) {
    switch event {
    case .groupsLed: self = .groupsLed
    case .ceilingsRaised: self = .ceilingsRaised
    case .groupsRetired: self = .groupsRetired
    case .groupsDeparted: self = .groupsDeparted
    case .groupsArrived: self = .groupsArrived
    case .transactionBegun: self = .transactionBegun
    case .transactionDecided: self = .transactionDecided
    }
  }
}

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
    }
  }
}

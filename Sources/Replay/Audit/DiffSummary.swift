import Catalog
import StateMachines

/// How many routes differ between two versions, in all, by group and by region.
package struct DiffSummary: Hashable, Sendable {
  /// What became of the routes of one group, or of those that may live in one region.
  package struct Tally: Hashable, Sendable {
    /// Routes that are new, and routes that are no more.
    package var added: UInt64 = 0
    package var removed: UInt64 = 0
    /// Routes that were here and still are, and are otherwise different.
    package var changed: UInt64 = 0
    /// Routes that came from another group, or may live here now.
    package var joined: UInt64 = 0
    /// Routes that went to another group, or may no longer live here.
    package var left: UInt64 = 0

    package init() {}

    package init(
      added: UInt64, removed: UInt64, changed: UInt64, joined: UInt64, left: UInt64
    ) {
      self.added = added
      self.removed = removed
      self.changed = changed
      self.joined = joined
      self.left = left
    }
  }

  package var added: UInt64 = 0
  package var removed: UInt64 = 0
  package var changed: UInt64 = 0
  package var groups: [GroupID: Tally] = [:]
  /// nil stands for the routes that may live anywhere.
  package var regions: [Region?: Tally] = [:]

  package init() {}

  /// Counts a route that differs.
  package mutating func add(_ change: ChangedRoute) {
    switch (change.before, change.after) {
    case (nil, nil): return
    case (nil, let after?):
      added += 1
      groups[after.group, default: Tally()].added += 1
      for region in after.regionsOrAny { regions[region, default: Tally()].added += 1 }
    case (let before?, nil):
      removed += 1
      groups[before.group, default: Tally()].removed += 1
      for region in before.regionsOrAny { regions[region, default: Tally()].removed += 1 }
    case (let before?, let after?):
      changed += 1
      if before.group == after.group {
        groups[after.group, default: Tally()].changed += 1
      } else {
        groups[before.group, default: Tally()].left += 1
        groups[after.group, default: Tally()].joined += 1
      }
      let (old, new) = (Set(before.regionsOrAny), Set(after.regionsOrAny))
      for region in old.intersection(new) { regions[region, default: Tally()].changed += 1 }
      for region in old.subtracting(new) { regions[region, default: Tally()].left += 1 }
      for region in new.subtracting(old) { regions[region, default: Tally()].joined += 1 }
    }
  }
}

extension Route {
  fileprivate var regionsOrAny: [Region?] { allowedRegions.isEmpty ? [nil] : allowedRegions }
}

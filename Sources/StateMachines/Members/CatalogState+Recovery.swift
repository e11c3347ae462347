import Catalog

extension CatalogState {
  /// The next routes of a region that was lost, to be soft-failed, or of one that returns, to be made
  /// active again.
  func sweep(_ region: Region, _ epoch: UInt64, _ limit: Int) throws(MembershipRefusal) -> [Event] {
    let record = try known(region)
    guard record.status.isFenced else {
      // What was asked for may have been the last of it.
      guard record.epoch == epoch else {
        throw .wrongEpoch(region, named: epoch, current: record.epoch)
      }
      return []
    }
    try check(epoch, of: record)
    guard !record.sweep.isDone else { return [] }
    let (from, to): (RouteState?, RouteState) =
      record.status == .lost ? (nil, .softFailed) : (.softFailed, .active)
    var changes: [(start: Key, event: Event)] = []
    var seen = 0
    var (group, route) = (record.sweep.group, record.sweep.route)
    var isLast = true
    groups: for next in membership.groups(in: region, from: group) {
      if next != group { (group, route) = (next, RouteID(0)) }
      routes.forEachRoute(of: group, after: route) { found in
        guard seen < limit else {
          isLast = false
          return false
        }
        seen += 1
        route = found.id
        if found.state != to, from == nil || found.state == from {
          changes.append(
            (
              found.span.lower,
              .routeStateChanged(
                route: found.id, start: found.span.lower, from: found.state, to: to)
            ))
        }
        return true
      }
      if !isLast { break groups }
    }
    changes.sort { $0.start < $1.start }
    return changes.map(\.event) + [
      .membership(
        .regionSwept(
          region, epoch: epoch, group: group, route: route, changed: UInt64(changes.count),
          isLast: isLast))
    ]
  }

  private func check(_ epoch: UInt64, of record: RegionStanding) throws(MembershipRefusal) {
    guard record.epoch == epoch else {
      throw .wrongEpoch(record.region, named: epoch, current: record.epoch)
    }
  }

  /// Moves the routes of a step, and makes them active.
  func promote(_ step: PromotionStep) throws(Refusal) -> [Event] {
    do {
      let record = try known(step.region)
      try check(step.epoch, of: record)
      guard record.status == .lost else {
        throw MembershipRefusal.regionNotLost(step.region, record.status)
      }
      guard record.sweep.isDone else { throw MembershipRefusal.notSwept(step.region) }
      guard step.step < step.steps else {
        throw MembershipRefusal.malformedPlan("step \(step.step) of \(step.steps)")
      }
      let known = record.recovery.flatMap { $0.plan == step.plan ? $0 : nil }
      if let known, known.steps != step.steps {
        throw MembershipRefusal.malformedPlan("it had \(known.steps) steps, not \(step.steps)")
      }
      let next = known?.step ?? 0
      // Sent again, by whoever runs the plan once more.
      guard step.step >= next else { return [] }
      guard step.step == next else {
        throw MembershipRefusal.stepOutOfOrder(step.region, expected: next, found: step.step)
      }
      return try promoted(step)
    } catch let error as MembershipRefusal {
      throw .membership(error)
    } catch let error as Refusal {
      throw error
    } catch {
      preconditionFailure("an error of another kind: \(error)")
    }
  }

  private func promoted(_ step: PromotionStep) throws(Refusal) -> [Event] {
    var changes: [(start: Key, events: [Event])] = []
    var (outdated, outdatedCount) = ([Route](), 0)
    var seen: Set<RouteID> = []
    for move in step.moves {
      guard move.from != move.to else {
        throw .membership(.malformedPlan("it moves routes of group \(move.from) to itself"))
      }
      for id in move.routes {
        guard seen.insert(id).inserted else {
          throw .membership(.malformedPlan("it names route \(id) twice"))
        }
        let route = try known(id)
        guard route.group == move.from, route.state == .softFailed, route.version <= step.version
        else {
          outdatedCount += 1
          if outdated.count < MembershipRefusal.maximumNamedCount { outdated.append(route) }
          continue
        }
        guard membership.home(of: move.from) == step.region else {
          throw .membership(
            .malformedPlan("group \(move.from) is not at home in region \(step.region)"))
        }
        try checkTarget(move.to, for: route)
        changes.append(
          (
            route.span.lower,
            [
              .routeMoved(route: id, start: route.span.lower, from: move.from, to: move.to),
              .routeStateChanged(
                route: id, start: route.span.lower, from: .softFailed, to: .active),
            ]
          ))
      }
    }
    guard outdatedCount == 0 else {
      throw .membership(.planOutdated(step.region, outdated, count: outdatedCount))
    }
    changes.sort { $0.start < $1.start }
    return changes.flatMap(\.events) + [
      .membership(
        .recoveryAdvanced(
          step.region, epoch: step.epoch, plan: step.plan, step: step.step, steps: step.steps,
          promoted: UInt64(changes.count)))
    ]
  }
}

import Catalog
import Synchronization

/// The clocks of the groups that one member leads, from whatever region's stream.
///
/// Driven by entries that are durable, and by times that are arguments: it knows no clock of its own.
/// A group's clock is made when somebody first asks for a timestamp, so that what a node leads and
/// nobody uses costs nothing. All of it may be used from any thread.
package final class GroupClocks: Sendable {
  package let member: MemberName
  package let options: ClockOptions

  fileprivate struct Leads {
    struct Place: Hashable {
      var region: Region
      var term: Term
    }

    /// A lead with the groups that are left of it.
    typealias Part = (lead: GroupLead, groups: GroupSet)

    var parts: [Place: [ObjectIdentifier: Part]] = [:]
    /// For each run of groups who leads it, and whether the lead has no other, in ascending order.
    var runs: [(run: GroupRun, lead: GroupLead, isWhole: Bool)] = []
    var clocks: [GroupID: LeaderClock] = [:]
    /// Counts the changes of who leads what.
    var changes = 0
  }

  private let leads = Mutex(Leads())

  package init(member: MemberName, options: ClockOptions = ClockOptions()) {
    self.member = member
    self.options = options
  }

  // MARK: - Timestamps

  /// The clock of a group, to be asked again and again while the group is led: it issues nothing any
  /// more afterwards. O(1); the first time O(log *n*) in the number of runs of groups.
  ///
  /// - Throws: ``GroupClockError/notLed(_:)``
  package func clock(of group: GroupID) throws(GroupClockError) -> LeaderClock {
    let clock = leads.withLock { leads -> LeaderClock? in
      if let clock = leads.clocks[group] { return clock }
      guard let lead = leads.lead(of: group) else { return nil }
      let clock = LeaderClock(group, lead, maximumSkew: options.maximumSkew)
      leads.clocks[group] = clock
      return clock
    }
    guard let clock else { throw .notLed(group) }
    return clock
  }

  /// The next `count` timestamps of a group; see ``LeaderClock/next(_:wallMilliseconds:at:)``.
  package func next(
    _ count: Int, of group: GroupID, wallMilliseconds: UInt64, at time: MonotonicTime
  ) throws(GroupClockError) -> HybridTimestampBatch {
    try clock(of: group).next(count, wallMilliseconds: wallMilliseconds, at: time)
  }

  /// Takes note of a timestamp from another clock: the group's are after it from now on.
  ///
  /// - Returns: Whether it is below the group's ceiling. Else that has to be raised above it first,
  ///   by an entry: the group's next leader would not know of it otherwise. Nothing changes then.
  /// - Throws: ``GroupClockError``, also when it is too far ahead of the wall clock.
  package func observe(
    _ timestamp: HybridTimestamp, in group: GroupID, wallMilliseconds: UInt64
  ) throws(GroupClockError) -> Bool {
    let clock = try clock(of: group)
    guard timestamp < clock.lead.ceiling.value else {
      return timestamp <= clock.clock.last
    }
    do throws(HybridClockError) {
      try clock.clock.observe(timestamp, wallMilliseconds: wallMilliseconds)
    } catch {
      throw .clock(group, error)
    }
    return true
  }

  // MARK: - Entries

  /// Takes note of what an entry says, which is durable now, and after which its region's state is
  /// `state`. To be called for each entry in order, before anybody hears of it.
  package func apply(
    _ events: [RegionEvent], after state: RegionState, at now: MonotonicTime
  ) {
    leads.withLock { leads in
      for event in events {
        switch event {
        case .groupsLed(let groups, let term):
          leads.end(groups, in: state.region)
          guard term.leader == member else { continue }
          let wait = term.wait > .zero ? term.wait.duration + options.driftAllowance : .zero
          leads.add(GroupLead(term, in: state.region, startsAt: now + wait), groups)
        case .ceilingsRaised(let groups, let term, let ceiling):
          // A lead of which only a part was raised keeps its lower ceiling.
          leads.forEach(coveredBy: groups, term, in: state.region) { lead in
            lead.ceiling.raise(to: ceiling)
          }
        case .groupsRetired(let groups, _, _, _), .groupsDeparted(let groups, _, _):
          leads.end(groups, in: state.region)
        case .transactionDecided(let id, .committed(let time)):
          // What the participants' clocks issue is after the commit from now on.
          guard let participants = state.transactions[id]?.participants else { continue }
          leads.observe(time, in: participants, of: state.region)
        case .groupsArrived, .transactionBegun, .transactionDecided(_, .aborted): break
        }
      }
    }
  }

  /// Renews leases by an entry of this member's own, which is durable now: a lead or a renewal that it
  /// began then. To be called after ``apply(_:after:at:)``.
  package func renewed(_ events: [RegionEvent], in region: Region, begun: MonotonicTime) {
    leads.withLock { leads in
      for event in events {
        switch event {
        case .groupsLed(let groups, let term) where term.leader == member:
          leads.forEach(coveredBy: groups, term.term, in: region) { lead in
            lead.extend(begun: begun, drift: options.driftAllowance)
          }
        case .ceilingsRaised(let groups, let term, _):
          leads.forEach(coveredBy: groups, term, in: region) { lead in
            lead.extend(begun: begun, drift: options.driftAllowance)
          }
        default: break
        }
      }
    }
  }

  // MARK: - Hand-over

  /// Stops the clocks of those of `groups` that are led in a region, for ever, and says what to put
  /// on record; nil when there are none.
  package func stop(
    _ groups: GroupSet, in region: Region, at time: MonotonicTime
  ) -> RetirementRequest? {
    leads.withLock { leads in
      var (stopping, floor): ([Term: GroupSet], HybridTimestamp) = ([:], .zero)
      var hasWaited = true
      for part in leads.held(in: region) {
        let led = part.groups.intersection(groups)
        guard !led.isEmpty else { continue }
        let lead = part.lead
        stopping[lead.term] = stopping[lead.term, default: GroupSet()].union(led)
        floor = max(floor, lead.floor, lead.startsAfter.next)
        hasWaited = hasWaited && time >= lead.startsAt
      }
      guard !stopping.isEmpty else { return nil }
      if let last = leads.end(groups, in: region) { floor = max(floor, last.next) }
      return RetirementRequest(
        leader: member,
        groups: stopping.sorted { $0.key < $1.key }
          .map { TermGroups(term: $0.key, groups: $0.value) },
        floor: floor, hasWaited: hasWaited)
    }
  }

  /// Forgets all that is led in a region, whose stream this member writes no more.
  package func drop(_ region: Region) {
    leads.withLock { leads in
      _ = leads.end(GroupSet(GroupRun(GroupID(0), through: GroupID(.max))), in: region)
    }
  }

  // MARK: - What is led

  /// The groups that are led in a region, by term.
  package func led(in region: Region) -> [TermGroups] {
    leads.withLock { leads in
      var terms: [Term: [GroupRun]] = [:]
      for part in leads.held(in: region) { terms[part.lead.term, default: []] += part.groups.runs }
      return terms.sorted { $0.key < $1.key }
        .map { TermGroups(term: $0.key, groups: GroupSet($0.value)) }
    }
  }

  /// The leads of a region, each with the groups that are left of it.
  package func leads(in region: Region) -> [(lead: GroupLead, groups: GroupSet)] {
    leads.withLock { $0.held(in: region) }
  }

  /// Who leads groups of a region that were led at once: a lead for each set that is still led.
  func leads(of sets: [GroupSet], in region: Region) -> [GroupLead] {
    leads.withLock { leads in
      sets.compactMap { groups in
        guard let first = groups.runs.first else { return nil }
        let lead = leads.lead(of: first.first)
        return lead?.region == region ? lead : nil
      }
    }
  }

  /// What is left of leads that are renewed together. O(*n*); O(1) where it is asked again of what it
  /// gave back, and nothing has changed since.
  func held(_ together: LeadsTogether) -> LeadsTogether {
    leads.withLock { leads in
      if together.changes == leads.changes { return together }
      var held = LeadsTogether()
      var terms: [Term: [GroupRun]] = [:]
      var (place, parts): (Leads.Place?, [ObjectIdentifier: Leads.Part]) = (nil, [:])
      for lead in together.leads {
        if place?.term != lead.term || place?.region != lead.region {
          let next = Leads.Place(region: lead.region, term: lead.term)
          (place, parts) = (next, leads.parts[next] ?? [:])
        }
        guard let part = parts[ObjectIdentifier(lead)] else { continue }
        held.leads.append(lead)
        terms[lead.term, default: []] += part.groups.runs
      }
      held.groups = terms.sorted { $0.key < $1.key }
        .map { TermGroups(term: $0.key, groups: GroupSet($0.value)) }
      held.changes = leads.changes
      return held
    }
  }

  /// The highest timestamp that any clock of a region issued or observed.
  package func highest(in region: Region) -> HybridTimestamp {
    leads.withLock { leads in
      leads.clocks.values.reduce(.zero) { highest, clock in
        clock.lead.region == region ? max(highest, clock.clock.last) : highest
      }
    }
  }
}

/// Leads that are renewed together, by one entry.
struct LeadsTogether: Sendable {
  var leads: [GroupLead] = []
  /// What is left of them, by term.
  fileprivate(set) var groups: [TermGroups] = []
  /// The count of changes up to which that is so; -1 where it was not looked up.
  fileprivate var changes = -1

  init(_ leads: [GroupLead] = []) { self.leads = leads }
}

extension GroupClocks.Leads {
  fileprivate func held(in region: Region) -> [Part] {
    parts.filter { $0.key.region == region }.flatMap { $0.value.values }
  }

  fileprivate func lead(of group: GroupID) -> GroupLead? {
    let index = firstRun(endingAt: group)
    return index < runs.count && runs[index].run.contains(group) ? runs[index].lead : nil
  }

  private func firstRun(endingAt group: GroupID) -> Int {
    var (low, high) = (0, runs.count)
    while low < high {
      let middle = low + (high - low) / 2
      if runs[middle].run.last < group { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// - Precondition: Nobody leads the groups.
  fileprivate mutating func add(_ lead: GroupLead, _ groups: GroupSet) {
    let place = Place(region: lead.region, term: lead.term)
    parts[place, default: [:]][ObjectIdentifier(lead)] = (lead, groups)
    changes += 1
    if groups.runs.count == 1 {
      runs.insert((groups.runs[0], lead, true), at: firstRun(endingAt: groups.runs[0].first))
    } else {
      runs += groups.runs.map { ($0, lead, false) }
      runs.sort { $0.run.first < $1.run.first }
    }
  }

  /// Ends the lead of groups in a region, and stops their clocks. Looks at those that are led.
  ///
  /// - Returns: The highest timestamp that those issued or observed; nil when there were none.
  @discardableResult
  fileprivate mutating func end(_ groups: GroupSet, in region: Region) -> HybridTimestamp? {
    var touched: [ObjectIdentifier: GroupLead] = [:]
    for run in groups.runs {
      var index = firstRun(endingAt: run.first)
      while index < runs.count, runs[index].run.first <= run.last {
        let lead = runs[index].lead
        if lead.region == region { touched[ObjectIdentifier(lead)] = lead }
        index += 1
      }
    }
    guard !touched.isEmpty else { return nil }
    changes += 1
    runs.removeAll { touched[ObjectIdentifier($0.lead)] != nil }
    var ended: [GroupRun] = []
    for (id, lead) in touched {
      let place = Place(region: region, term: lead.term)
      guard let part = parts[place]?[id] else { continue }
      let left = part.groups.subtracting(groups)
      ended += part.groups.intersection(groups).runs
      parts[place]?[id] = left.isEmpty ? nil : (lead, left)
      if parts[place]?.isEmpty ?? false { parts[place] = nil }
      runs += left.runs.map { ($0, lead, left.runs.count == 1) }
    }
    runs.sort { $0.run.first < $1.run.first }
    let stopped = GroupSet(ended)
    var highest: HybridTimestamp?
    for (group, clock) in clocks where clock.lead.region == region && stopped.contains(group) {
      if let last = clock.clock.retire() { highest = max(highest ?? .zero, last) }
      clocks[group] = nil
    }
    return highest
  }

  /// Lends each lead of a term all of whose groups are among `groups`, once. O(*k* log *n*), *k* being
  /// the number of runs that are led among `groups`: those of other leads are not looked at.
  fileprivate func forEach(
    coveredBy groups: GroupSet, _ term: Term, in region: Region, _ body: (GroupLead) -> Void
  ) {
    guard let parts = parts[Place(region: region, term: term)] else { return }
    // Leads of several runs come by several times.
    var seen: Set<ObjectIdentifier> = []
    for run in groups.runs {
      var index = firstRun(endingAt: run.first)
      while index < runs.count, runs[index].run.first <= run.last {
        let (led, lead, isWhole) = runs[index]
        index += 1
        guard lead.term == term, lead.region == region else { continue }
        if isWhole {
          if run.first <= led.first, led.last <= run.last { body(lead) }
        } else if seen.insert(ObjectIdentifier(lead)).inserted,
          parts[ObjectIdentifier(lead)]?.groups.isSubset(of: groups) ?? false
        {
          body(lead)
        }
      }
    }
  }

  /// Lets the clocks of participants issue nothing before a commit. Those that nobody asked for yet
  /// are made later: all of their lead start after it then.
  fileprivate func observe(_ time: HybridTimestamp, in participants: GroupSet, of region: Region) {
    for part in held(in: region) where !part.groups.intersection(participants).isEmpty {
      part.lead.observe(time)
    }
    for (group, clock) in clocks where clock.lead.region == region && participants.contains(group) {
      clock.clock.observe(recorded: time)
    }
  }
}

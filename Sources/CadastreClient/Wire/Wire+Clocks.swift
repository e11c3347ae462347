import CadastreProtocol
import Catalog
import StateMachines

extension Cadastre_V1_DepartedGroups {
  package init(_ arrival: Arrival) {
    self.init()
    groups = arrival.groups.runs.map(Cadastre_V1_GroupRange.init)
    term = arrival.clock.term.rawValue
    ceiling = arrival.clock.ceiling.rawValue
    floor = arrival.clock.floor.rawValue
    leaseMs = arrival.clock.lease.rawValue
  }

  /// The groups that are told, as their new home takes them.
  func value() throws(MalformedMessage) -> Arrival {
    Arrival(
      groups: try groupSet(groups),
      clock: ClockHandover(
        term: Term(term), ceiling: HybridTimestamp(ceiling), floor: HybridTimestamp(floor),
        lease: Milliseconds(leaseMs)))
  }
}

extension GroupRun {
  /// The groups of a range that a node told.
  package init(_ range: Cadastre_V1_GroupRange) {
    self.init(GroupID(range.first), through: GroupID(max(range.first, range.last)))
  }
}

import CadastreClient
import CadastreProtocol
import Catalog
import Replay
import StateMachines
import SwiftProtobuf

/// Who leads a group, wherever that is.
extension RegionNode {
  /// What is on record of groups' clocks: in the streams that are led here, else at the leader of their
  /// home, which is asked unless somebody asked already, else in the mirrors here. O(*n*).
  package func clocks(of groups: GroupSet, hops: UInt32) async -> [Cadastre_V1_ClockInfo] {
    var (found, left) = ([Cadastre_V1_ClockInfo](), groups)
    for stream in streams.values where stream.leader != nil {
      found += local(&left, stream)
    }
    guard !left.isEmpty else { return found }
    let membership = core.store.current.membership
    // Where they are at home, else where a stream here last had them.
    let places =
      membership.regions.map { ($0.region, membership.groupSet(in: $0.region)) }
      + streams.values.filter { $0.leader == nil }
      .map { ($0.region, $0.store.current.ceilings.groupsHere) }
    for (region, groups) in places where hops == 0 {
      let home = left.intersection(groups)
      guard !home.isEmpty else { continue }
      if case .led(by: let leader) = await directory.find(region),
        let infos = try? await NodeClient.with(
          leader.address, connection: directory.connection,
          { try await $0.clocks(of: home, hops: 1, deadline: .seconds(2)) })
      {
        for var info in infos where info.standing != .none {
          if info.leader == leader.name { info.leaderAddress = "\(leader.address)" }
          found.append(info)
          left = left.subtracting(GroupSet(GroupRun(info.groups)))
        }
      }
    }
    for stream in streams.values where stream.isMirror { found += local(&left, stream) }
    for run in left.runs {
      found.append(
        .with {
          $0.groups = Cadastre_V1_GroupRange(run)
          $0.region = membership.home(of: run.first)?.name ?? ""
          $0.standing = .none
        })
    }
    return found.sorted { $0.groups.first < $1.groups.first }
  }

  /// The clocks of a stream that is here, and takes their groups from `left`.
  private func local(_ left: inout GroupSet, _ stream: RegionStream) -> [Cadastre_V1_ClockInfo] {
    var infos: [Cadastre_V1_ClockInfo] = []
    stream.store.current.ceilings.forEach(in: left) { run, clock in
      guard let clock else { return }
      if case .departed = clock.standing { return }
      infos.append(
        .with {
          $0.groups = Cadastre_V1_GroupRange(run)
          $0.region = stream.region.name
          $0.term = clock.term.rawValue
          $0.ceiling = clock.ceiling.rawValue
          $0.standing = .vacant
          guard case .led(let leader, _, _, _) = clock.standing else { return }
          $0.standing = .led
          $0.leader = leader.name
          $0.leaderAddress = directory.address(of: leader) ?? ""
        })
    }
    for info in infos { left = left.subtracting(GroupSet(GroupRun(info.groups))) }
    return infos
  }

  /// A refusal for want of the group's lead, with where its leader is.
  package func located(_ error: NodeError, _ group: GroupID) async -> NodeError {
    guard error.reason == "not_group_leader", error.detail?.leaderAddress.isEmpty ?? true else {
      return error
    }
    let clocks = await clocks(of: GroupSet(GroupRun(group)), hops: 0)
    guard let info = clocks.first, info.standing == .led, info.leader != member.name else {
      return error
    }
    let place = info.leaderAddress.isEmpty ? "" : " at \(info.leaderAddress)"
    return NodeError(
      error.code, reason: "not_group_leader",
      "this node does not lead group \(group): \(info.leader)\(place) does, in region \(info.region)",
      remedy: "ask it there"
    ) {
      $0.leader = info.leader
      $0.leaderAddress = info.leaderAddress
    }
  }

  /// A refusal for want of the lead of a region's stream, with where its leader is.
  package func located(_ error: NodeError, _ region: Region?) async -> NodeError {
    guard let region, ["region_not_led", "region_fenced"].contains(error.reason),
      case .led(by: let leader) = await directory.find(region)
    else { return error }
    return NodeError(
      error.code, reason: error.reason ?? "",
      "this node does not lead the stream of region \(region): \(leader.name) does, at "
        + "\(leader.address)", remedy: "ask it there"
    ) {
      $0.leader = leader.name
      $0.leaderAddress = "\(leader.address)"
    }
  }
}

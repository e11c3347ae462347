import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import StateMachines
import SwiftProtobuf

extension NodeClient {
  /// The next `count` timestamps of a group, of the node that leads it.
  ///
  /// - Throws: ``NodeError``, with the reason `not_group_leader` where another one does.
  package func nextTimestamps(
    _ count: Int, of group: GroupID, deadline: Duration? = nil
  ) async throws(NodeError) -> HybridTimestampBatch {
    let request = Cadastre_V1_NextRequest.with {
      $0.groupID = group.rawValue
      $0.count = UInt32(clamping: count)
    }
    return try await calling(address) {
      let response = try await timestamps.next(request, options: options(deadline))
      return HybridTimestampBatch(
        first: HybridTimestamp(response.first), count: Int(response.count))
    }
  }

  /// Lets the node lead groups in a region; with nil the only one whose stream it leads.
  package func lead(
    _ groups: GroupSet, in region: Region?, deadline: Duration? = nil
  ) async throws(NodeError) -> Cadastre_V1_LeadGroupsResponse {
    let request = Cadastre_V1_LeadGroupsRequest.with {
      $0.region = region?.name ?? ""
      $0.groups = groups.runs.map(Cadastre_V1_GroupRange.init)
    }
    return try await calling(address) {
      try await timestamps.leadGroups(request, options: options(deadline))
    }
  }

  /// Lets the node hand over groups that it leads.
  package func retire(
    _ groups: GroupSet, in region: Region?, deadline: Duration? = nil
  ) async throws(NodeError) -> Cadastre_V1_RetireGroupsResponse {
    let request = Cadastre_V1_RetireGroupsRequest.with {
      $0.region = region?.name ?? ""
      $0.groups = groups.runs.map(Cadastre_V1_GroupRange.init)
    }
    return try await calling(address) {
      try await timestamps.retireGroups(request, options: options(deadline))
    }
  }

  /// What the node says of the regions whose streams it leads.
  package func regions(
    deadline: Duration? = nil
  ) async throws(NodeError) -> Cadastre_V1_RegionsResponse {
    try await calling(address) {
      try await timestamps.regions(Cadastre_V1_RegionsRequest(), options: options(deadline))
    }
  }

  /// Lets the node lead the stream of a region that it mirrors; see `Timestamps.PromoteRegion`.
  package func promote(
    _ region: Region, leaderStopped: Bool, deadline: Duration? = nil
  ) async throws(NodeError) -> Cadastre_V1_PromoteRegionResponse {
    let request = Cadastre_V1_PromoteRegionRequest.with {
      $0.region = region.name
      $0.leaderStopped = leaderStopped
    }
    return try await calling(address) {
      try await timestamps.promoteRegion(request, options: options(deadline))
    }
  }

  /// What is on record of groups' clocks.
  package func clocks(
    of groups: GroupSet, hops: UInt32 = 0, deadline: Duration? = nil
  ) async throws(NodeError) -> [Cadastre_V1_ClockInfo] {
    let request = Cadastre_V1_ClocksRequest.with {
      $0.groups = groups.runs.map(Cadastre_V1_GroupRange.init)
      $0.hops = hops
    }
    return try await calling(address) {
      try await timestamps.clocks(request, options: options(deadline)).clocks
    }
  }

  /// Lets groups leave a region whose stream the node leads, for their home.
  package func depart(
    _ groups: GroupSet, from region: Region, to home: Region, deadline: Duration? = nil
  ) async throws(NodeError) -> [Arrival] {
    let request = Cadastre_V1_DepartGroupsRequest.with {
      $0.groups = groups.runs.map(Cadastre_V1_GroupRange.init)
      $0.fromRegion = region.name
      $0.toRegion = home.name
    }
    return try await calling(address) {
      try await timestamps.departGroups(request, options: options(deadline)).departed.map {
        try $0.value()
      }
    }
  }

  /// Calls the node at an address, and where it does not lead what is asked about, the one that it
  /// names as the leader: once.
  package static func atLeader<Result: Sendable>(
    from address: NodeAddress, connection: ConnectionOptions = ConnectionOptions(),
    _ body: @Sendable (NodeClient) async throws -> Result
  ) async throws -> Result {
    do {
      return try await with(address, connection: connection, body)
    } catch let error as NodeError {
      guard ["not_group_leader", "region_not_led", "region_fenced"].contains(error.reason),
        let text = error.detail?.leaderAddress, let leader = try? NodeAddress(text),
        leader != address
      else { throw error }
      return try await with(leader, connection: connection, body)
    }
  }

  /// Begins a transaction.
  package func begin(
    _ id: TransactionID, participants: GroupSet, timeout: Duration, in region: Region? = nil,
    command: CommandID, deadline: Duration? = nil
  ) async throws(NodeError) -> Transaction {
    let request = Cadastre_V1_BeginRequest.with {
      $0.commandID = Data(command.bytes)
      $0.region = region?.name ?? ""
      $0.transactionID = Data(id.bytes)
      $0.participants = participants.runs.map(Cadastre_V1_GroupRange.init)
      $0.timeoutMs = timeout.wholeMilliseconds
    }
    return try await calling(address) {
      try await transactions.begin(request, options: options(deadline)).value()
    }
  }

  /// Ends a transaction.
  package func decide(
    _ id: TransactionID, _ outcome: TransactionOutcome, in region: Region? = nil,
    command: CommandID, deadline: Duration? = nil
  ) async throws(NodeError) -> Transaction {
    let request = Cadastre_V1_DecideRequest.with {
      $0.commandID = Data(command.bytes)
      $0.region = region?.name ?? ""
      $0.transactionID = Data(id.bytes)
      switch outcome {
      case .committed(let time):
        $0.outcome = .committed
        $0.commitTimestamp = time.rawValue
      case .aborted: $0.outcome = .aborted
      }
    }
    return try await calling(address) {
      try await transactions.decide(request, options: options(deadline)).value()
    }
  }

  /// What is on record of a transaction.
  package func transaction(
    _ id: TransactionID, in region: Region? = nil, deadline: Duration? = nil
  ) async throws(NodeError) -> Transaction {
    let request = Cadastre_V1_GetTransactionRequest.with {
      $0.region = region?.name ?? ""
      $0.transactionID = Data(id.bytes)
    }
    return try await calling(address) {
      try await transactions.get(request, options: options(deadline)).value()
    }
  }
}

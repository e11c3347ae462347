import CadastreClient
import CadastreProtocol
import Catalog
import GRPCCore
import Replay
import StateMachines
import SwiftProtobuf

/// Serves timestamps of the groups that this node leads.
package struct TimestampsService: Cadastre_V1_Timestamps.ServiceProtocol {
  private let node: RegionNode

  package init(_ node: RegionNode) { self.node = node }

  package func next(
    request: ServerRequest<Cadastre_V1_NextRequest>, context: ServerContext
  ) async throws -> ServerResponse<Cadastre_V1_NextResponse> {
    let message = request.message
    let count = message.count == 0 ? 1 : Int(message.count)
    guard count <= HybridClock.maximumBatchCount else {
      throw MalformedMessage(
        "count: \(count) are too many for one call: ask for at most \(HybridClock.maximumBatchCount)"
      )
    }
    let batch = try node.next(count, of: GroupID(message.groupID))
    return ServerResponse(
      message: .with {
        $0.first = batch.first.rawValue
        $0.count = UInt32(batch.count)
      })
  }

  package func leadGroups(
    request: ServerRequest<Cadastre_V1_LeadGroupsRequest>, context: ServerContext
  ) async throws -> ServerResponse<Cadastre_V1_LeadGroupsResponse> {
    let (region, receipt) = try await node.lead(
      try groupSet(request.message.groups), in: try optionalRegion(request.message.region))
    return ServerResponse(
      message: .with {
        $0.region = region.name
        $0.position = receipt.position.rawValue
        for case .groupsLed(_, let term) in receipt.events {
          $0.term = term.term.rawValue
          $0.waitMs = term.wait.rawValue
        }
      })
  }

  package func retireGroups(
    request: ServerRequest<Cadastre_V1_RetireGroupsRequest>, context: ServerContext
  ) async throws -> ServerResponse<Cadastre_V1_RetireGroupsResponse> {
    let (region, receipt) = try await node.retire(
      try groupSet(request.message.groups), in: try optionalRegion(request.message.region))
    return ServerResponse(
      message: .with {
        $0.region = region.name
        $0.position = receipt.position.rawValue
      })
  }

  package func regions(
    request: ServerRequest<Cadastre_V1_RegionsRequest>, context: ServerContext
  ) async throws -> ServerResponse<Cadastre_V1_RegionsResponse> {
    let wall = node.wallClock
    return ServerResponse(
      message: .with {
        $0.member = node.member.name
        $0.wallClockHeldBackMs = wall.heldBack.wholeMilliseconds
        $0.wallClockFurthestMs = wall.furthest.wholeMilliseconds
        $0.maximumSkewMs = wall.maximumSkew.wholeMilliseconds
        $0.regions = node.regions.sorted { $0.key < $1.key }.map { status(of: $0.value) }
      })
  }

  private func status(of led: RegionNode.Led) -> Cadastre_V1_RegionStatus {
    let state = led.store.current
    let counts = led.leader.counts
    return .with {
      $0.region = state.region.name
      $0.position = state.appliedThrough.rawValue
      $0.time = state.lastTime.rawValue
      $0.groups = state.ceilings.groupCount
      $0.ledGroups = node.clocks.led(in: state.region).reduce(0) { $0 + $1.groups.count }
      $0.transactions = UInt64(state.transactions.count)
      $0.undecidedTransactions = UInt64(state.transactions.pending.count)
      $0.renewals = UInt64(counts.renewals)
      $0.lateRenewals = UInt64(counts.late)
      $0.failures = UInt64(counts.failures)
      $0.condition = led.store.condition.map { "\($0)" } ?? ""
    }
  }
}

/// The region that is named; nil for the empty name.
func optionalRegion(_ name: String) throws(MalformedMessage) -> Region? {
  guard !name.isEmpty else { return nil }
  do {
    return try Region(name)
  } catch {
    throw MalformedMessage("region: \(error)")
  }
}

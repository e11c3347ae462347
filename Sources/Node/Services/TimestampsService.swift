import CadastreClient
import CadastreProtocol
import Catalog
import GRPCCore
import Replay
import StateMachines
import SwiftProtobuf
import Synchronization

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
    let group = GroupID(message.groupID)
    let batch: HybridTimestampBatch
    do throws(NodeError) {
      batch = try node.next(count, of: group)
    } catch {
      throw await node.located(error, group)
    }
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
        $0.regions = node.streams.sorted { $0.key < $1.key }.map { status(of: $0.value) }
      })
  }

  package func promoteRegion(
    request: ServerRequest<Cadastre_V1_PromoteRegionRequest>, context: ServerContext
  ) async throws -> ServerResponse<Cadastre_V1_PromoteRegionResponse> {
    guard let region = try optionalRegion(request.message.region) else {
      throw MalformedMessage("region: name one")
    }
    let promotion = try await node.promote(
      region, leaderStopped: request.message.leaderStopped)
    return ServerResponse(
      message: .with {
        $0.region = region.name
        $0.position = promotion.position.rawValue
        $0.epoch = promotion.terms.epoch
        $0.floor = promotion.terms.floor.rawValue
        $0.groups = promotion.groups.count
        $0.waitMs = promotion.wait.rawValue
      })
  }

  package func clocks(
    request: ServerRequest<Cadastre_V1_ClocksRequest>, context: ServerContext
  ) async throws -> ServerResponse<Cadastre_V1_ClocksResponse> {
    let clocks = await node.clocks(
      of: try groupSet(request.message.groups), hops: request.message.hops)
    return ServerResponse(message: .with { $0.clocks = clocks })
  }

  package func departGroups(
    request: ServerRequest<Cadastre_V1_DepartGroupsRequest>, context: ServerContext
  ) async throws -> ServerResponse<Cadastre_V1_DepartGroupsResponse> {
    let message = request.message
    guard let home = try optionalRegion(message.toRegion),
      let region = try optionalRegion(message.fromRegion), home != region
    else { throw MalformedMessage("from_region, to_region: name two regions") }
    let arrivals = try await node.depart(
      try groupSet(message.groups), from: region, to: home)
    return ServerResponse(
      message: .with { $0.departed = arrivals.map(Cadastre_V1_DepartedGroups.init) })
  }

  private func status(of stream: RegionStream) -> Cadastre_V1_RegionStatus {
    let state = stream.store.current
    return .with {
      $0.region = state.region.name
      $0.position = state.appliedThrough.rawValue
      $0.time = state.lastTime.rawValue
      $0.groups = state.ceilings.groupCount
      $0.ledGroups = node.clocks.led(in: state.region).reduce(0) { $0 + $1.groups.count }
      $0.transactions = UInt64(state.transactions.count)
      $0.undecidedTransactions = UInt64(state.transactions.pending.count)
      $0.condition = stream.store.condition.map { "\($0)" } ?? ""
      $0.epoch = stream.store.terms?.epoch ?? 0
      switch stream.role {
      case .leader(let leader):
        $0.role = .leader
        let counts = leader.counts
        $0.renewals = UInt64(counts.renewals)
        $0.lateRenewals = UInt64(counts.late)
        $0.failures = UInt64(counts.failures)
        $0.catalogLimitMs = node.clocks.options.catalogLimit?.wholeMilliseconds ?? 0
        if $0.condition.isEmpty { $0.condition = node.catalogCondition }
      case .mirror:
        $0.role = .mirror
        $0.mirror = mirror(of: stream, at: state.appliedThrough)
      case .fenced:
        $0.role = .fenced
      }
    }
  }

  private func mirror(
    of stream: RegionStream, at position: LogPosition
  ) -> Cadastre_V1_RegionMirrorStatus {
    let bond = stream.bond.withLock { $0 }
    let leader = bond.freshness.leaderPosition
    return .with {
      $0.leaderAddress = bond.leaderAddress
      $0.connected = bond.isConnected
      $0.leaderPosition = leader.rawValue
      $0.lag = leader > position ? leader.rawValue - position.rawValue : 0
      if let staleness = stream.staleness(at: node.core.clock.now()) {
        $0.stalenessMs = staleness.wholeMilliseconds
      }
      $0.resets = bond.resets
      $0.reconnects = bond.reconnects
      $0.lastError = bond.lastError
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

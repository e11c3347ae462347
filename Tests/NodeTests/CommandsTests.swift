import CadastreClient
import CadastreProtocol
import Catalog
import EtcdSupport
import Foundation
import GRPCCore
import Replay
import StateMachines
import SwiftProtobuf
import TestSupport
import Testing

@testable import Node

@Suite(.oneEtcd, .timeLimit(.minutes(5))) struct CommandsTests {
  @Test(arguments: LogKind.allCases) func carriesOutEachKindOfCommand(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      let client = node.client
      let first = try await client.submit(.test(bootstrap("m")))
      #expect(first.outcome == .appended)
      #expect(first.newRoutes.map(\.rawValue) == [1, 2])
      let cut = try await client.submit(.test(split("c", "x", "b")))
      #expect(cut.newRoutes.map(\.rawValue) == [3, 4, 5])
      #expect(cut.version == CatalogVersion(2))
      #expect(cut.position == LogPosition(2))
      // b and c are the new routes 3 and 4 of route 1.
      let merged = try await client.submit(
        .test(.merge([MergeRequest(left: RouteID(3), right: RouteID(4))])))
      #expect(merged.version == CatalogVersion(3))
      try await client.submit(.test(.move([RouteID(5)], to: GroupID(9))))
      try await client.submit(.test(.setState([RouteID(5)], to: .writeFenced)))
      let regions = try [Region("us-east"), Region("eu-west")]
      let last = try await client.submit(.test(.setAllowedRegions([RouteID(5)], to: regions)))
      let route = try await client.resolve(
        Key("xyz"), demand: ReadDemand(minimumVersion: last.version)
      ).value
      #expect(route.id == RouteID(5))
      #expect(route.group == GroupID(9))
      #expect(route.state == .writeFenced)
      #expect(route.allowedRegions.map(\.name) == ["eu-west", "us-east"])
      #expect(route.parent == RouteID(2))
      #expect(route.version == CatalogVersion(6))
      #expect(node.core.store.current.routes.count == 4)
    }
  }

  @Test(arguments: LogKind.allCases) func splitsOneRouteByItsOwnMethod(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(oneRoute))
      var request = Wire.SplitRequest()
      request.header = Wire.CommandHeader(.test(oneRoute))
      request.split.at = Data("k".utf8)
      request.split.routeID = 1
      let message = request
      let response = try await node.client.commands.split(message)
      #expect(response.newRouteIds == [2])
    }
  }

  @Test(arguments: LogKind.allCases)
  func carriesOutARepeatedCommandOnce(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(oneRoute))
      let command = Command.test(split("h", "k"))
      let first = try await node.client.submit(command)
      try await node.client.submit(.test(split("z")))
      let second = try await node.client.submit(command)
      #expect(second.outcome == .repeated)
      #expect(second.position == first.position)
      #expect(second.version == first.version)
      #expect(second.newRoutes == first.newRoutes)
      let done = try await node.client.submit(.test(split("h", "k")))
      #expect(done.outcome == .alreadyDone)
      #expect(done.version == CatalogVersion(3))

      var other = command
      other.change = split("q")
      let error = await refusal { [other] in try await node.client.submit(other) }
      #expect(error?.code == .alreadyExists)
      #expect(error?.reason == "command_id_reused")
      #expect(error?.detail?.position == first.position.rawValue)
    }
  }

  @Test(arguments: LogKind.allCases)
  func aStaleVersionComesWithTheNewerRoutes(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(bootstrap("m")))
      try await node.client.submit(.test(.move([RouteID(2)], to: GroupID(7))))
      let error = await refusal {
        try await node.client.submit(
          .test(.move([RouteID(2)], to: GroupID(8)), expecting: CatalogVersion(1)))
      }
      #expect(error?.code == .aborted)
      #expect(error?.reason == "stale_version")
      #expect(error?.detail?.catalogVersion == 2)
      #expect(error?.detail?.newerRoutes.map(\.groupID) == [7])
      // Changes elsewhere do not matter.
      try await node.client.submit(
        .test(.move([RouteID(1)], to: GroupID(8)), expecting: CatalogVersion(1)))
    }
  }

  @Test(arguments: LogKind.allCases)
  func aSplitOutsideItsRouteComesWithTheHolder(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(bootstrap("m")))
      let error = await refusal {
        try await node.client.submit(
          .test(.split([SplitRequest(route: RouteID(1), at: Key("x"))])))
      }
      #expect(error?.code == .failedPrecondition)
      #expect(error?.reason == "split_key_outside_route")
      #expect(error?.detail?.holder.id == 2)
      #expect(error?.message.contains("route 2") == true)
    }
  }

  @Test(arguments: LogKind.allCases)
  func aMergeOfRoutesThatDoNotTouchComesWithWhatLiesBetween(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(bootstrap("f", "m", "t")))
      let error = await refusal {
        try await node.client.submit(
          .test(.merge([MergeRequest(left: RouteID(1), right: RouteID(4))])))
      }
      #expect(error?.code == .failedPrecondition)
      #expect(error?.reason == "not_neighbours")
      #expect(error?.detail?.between.map(\.id) == [2, 3])
    }
  }

  @Test(arguments: LogKind.allCases) func otherRefusalsHaveTheirStatus(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      let early = await refusal { try await node.client.submit(.test(split("a"))) }
      #expect(early?.code == .failedPrecondition)
      try await node.client.submit(.test(oneRoute))
      let twice = await refusal { try await node.client.submit(.test(oneRoute)) }
      #expect(twice?.code == .failedPrecondition)
      #expect(twice?.reason == "already_bootstrapped")
      let unknown = await refusal {
        try await node.client.submit(.test(.move([RouteID(77)], to: GroupID(1))))
      }
      #expect(unknown?.code == .notFound)
      #expect(unknown?.detail?.catalogVersion == 1)
      let empty = await refusal { try await node.client.submit(.test(.move([], to: GroupID(1)))) }
      #expect(empty?.code == .invalidArgument)
    }
  }

  @Test(arguments: LogKind.allCases) func malformedCommandsAreRefused(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(oneRoute))
      let good = Wire.SetStateRequest.with {
        $0.header = Wire.CommandHeader(.test(oneRoute))
        $0.routeIds = [1]
        $0.state = .writeFenced
      }
      var shortID = good
      shortID.header.commandID = Data([1, 2, 3])
      var noState = good
      noState.state = .unspecified
      var strangeState = good
      strangeState.state = .UNRECOGNIZED(99)
      for request in [shortID, noState, strangeState] {
        let error = await refusal { try await node.client.commands.setState(request) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.reason == "malformed")
      }
      let region = await refusal {
        try await node.client.commands.setAllowedRegions(
          .with {
            $0.header = good.header
            $0.routeIds = [1]
            $0.regions = ["No Region"]
          })
      }
      #expect(region?.code == .invalidArgument)
      #expect(node.core.store.current.version == CatalogVersion(1))
    }
  }

  @Test(arguments: LogKind.allCases)
  func aCommandThatFitsIntoNoMessageIsRefused(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(oneRoute))
      let splits = (0..<4200).map { number in
        SplitRequest(
          at: Key(
            unchecked: [UInt8(number >> 8), UInt8(number & 255)] + Array(repeating: 1, count: 4000))
        )
      }
      let error = await refusal { try await node.client.submit(.test(.split(splits))) }
      #expect(error?.code == .invalidArgument)
      #expect(error?.reason == "too_large")
      #expect(error?.detail?.remedy.isEmpty == false)
    }
  }

  @Test(arguments: LogKind.allCases)
  func detailsOfManyLongRoutesAreCutToFitATrailer(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      let starts = (1..<40).map { Key(unchecked: [UInt8($0)] + Array(repeating: 255, count: 4000)) }
      try await node.client.submit(
        .test(
          .bootstrap(
            ([.least] + starts).map { RouteSeedRequest(start: $0, group: GroupID(1)) })))
      let error = await refusal {
        try await node.client.submit(
          .test(.merge([MergeRequest(left: RouteID(1), right: RouteID(40))])))
      }
      #expect(error?.code == .failedPrecondition)
      #expect(error?.reason == "not_neighbours")
      #expect(error?.detail?.truncated == true)
    }
  }

  @Test(arguments: LogKind.allCases)
  func takesCommandsFromManyCallersAtOnce(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(oneRoute))
      let receipts = try await withThrowingTaskGroup(of: CommandReceipt.self) { group in
        for number in 0..<200 {
          group.addTask { try await node.client.submit(.test(split("k\(number)"))) }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      #expect(Set(receipts.map(\.version)).count == 200)
      #expect(node.core.store.current.routes.count == 201)
    }
  }
}

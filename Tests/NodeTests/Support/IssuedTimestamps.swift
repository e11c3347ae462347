import CadastreClient
import Catalog
import StateMachines
import Testing

@testable import Node

/// What callers got of the timestamps of groups, each caller's in its order.
struct IssuedTimestamps: Sendable {
  private var batches: [GroupID: [[HybridTimestampBatch]]] = [:]

  /// Of how many groups there are some.
  var groupCount: Int { batches.count }

  /// Asks for timestamps of every group, two callers each, wherever they are to be had, until `isDone`.
  static func collect(
    of groups: [GroupID], at addresses: [NodeAddress], _ count: Shared<Int>,
    until isDone: Shared<Bool>
  ) async throws -> IssuedTimestamps {
    try await withThrowingTaskGroup(of: (GroupID, [HybridTimestampBatch]).self) { tasks in
      for group in groups {
        for caller in 0..<2 {
          tasks.addTask {
            let batches = Shared<[HybridTimestampBatch]>([])
            var index = caller
            while !isDone.value {
              // Until that node does not lead the group, or is not there.
              try? await NodeClient.with(addresses[index % addresses.count]) { client in
                while !isDone.value {
                  let batch = try await client.nextTimestamps(
                    20, of: group, deadline: .seconds(1))
                  batches.change { $0.append(batch) }
                  count.change { $0 += 1 }
                  try await Task.sleep(for: .milliseconds(2))
                }
              }
              index += 1
              try await Task.sleep(for: .milliseconds(10))
            }
            return (group, batches.value)
          }
        }
      }
      return try await tasks.reduce(into: IssuedTimestamps()) {
        $0.batches[$1.0, default: []].append($1.1)
      }
    }
  }

  /// That no caller's timestamps go back, and none was issued twice.
  func check(_ place: Comment) {
    for (group, callers) in batches {
      for batches in callers {
        #expect(
          zip(batches, batches.dropFirst()).allSatisfy { $0.last < $1.first },
          "\(place): a caller's timestamps of group \(group) go back")
      }
      let all = callers.flatMap { $0 }.sorted { $0.first < $1.first }
      #expect(
        zip(all, all.dropFirst()).allSatisfy { $0.last < $1.first },
        "\(place): timestamps of group \(group) were issued twice")
    }
  }
}

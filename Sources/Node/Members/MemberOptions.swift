import CadastreClient
import Catalog
import Replay
import StateMachines

/// How a node takes part as a member.
package struct MemberOptions: Sendable {
  package var name: MemberName
  package var region: Region
  /// A region is silent when none of its members answered for so long.
  package var timeout: Duration = .seconds(10)
  /// How many routes the leader goes through in one command after a loss.
  package var sweepCount = 50_000

  package init(name: MemberName, region: Region) {
    self.name = name
    self.region = region
  }

  /// How often members are asked.
  var interval: Duration { max(timeout / 4, .milliseconds(20)) }
}

/// Lets what a member passes on come in its region's name: one whose region was lost since it looked
/// last is refused. Changes of members come in nobody's name.
struct OriginSink: CommandSink {
  let core: NodeCore
  let region: Region
  let sink: any CommandSink

  func submit(
    _ command: Command, timeout: Duration?, hops: Int
  ) async throws(NodeError) -> CommandReceipt {
    var command = command
    if command.origin == nil, let record = core.store.current.membership.region(region) {
      if case .membership = command.change {
      } else {
        command.origin = RegionOrigin(region: region, epoch: record.epoch)
      }
    }
    return try await sink.submit(command, timeout: timeout, hops: hops)
  }
}

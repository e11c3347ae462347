import Replay

/// Campaigns for the lead of a shared stream; nil when `stop` is closed first.
func campaign(
  for stream: any SharedStream, as member: ClusterMember, unless stop: WakeHub
) async throws -> (any Leadership)? {
  try await withThrowingTaskGroup(of: (any Leadership)?.self) { group in
    group.addTask { try await stream.campaign(member) }
    group.addTask {
      await stop.untilClosed()
      return nil
    }
    let first = try await group.next() ?? nil
    group.cancelAll()
    if let first { return first }
    // It may have been won at the last moment.
    if let late = try? await group.next() ?? nil { await giveBack(late) }
    return nil
  }
}

/// Gives a lead back, whether or not this task was cancelled.
func giveBack(_ lead: any Leadership) async {
  await Task { await lead.resign() }.value
}

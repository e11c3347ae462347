import CadastreClient
import Catalog
import Foundation
import GRPCCore
import Logging
import NIOPosix
import Replay
import StateMachines
import Synchronization

/// Gets a state to start from of the leader: the nodes of its newest checkpoint, which are kept as
/// they come, so that a fetch that was cut off goes on where it stopped.
struct CheckpointFetch: Sendable {
  let leader: LeaderLink
  /// The folder of the learner's log, which need not be there yet.
  let folder: String
  let options: FollowOptions
  let logger: Logger

  /// The leader's state, all of it proven, and the commands that it knows up to there. What was received stays until ``CheckpointIntake/remove(in:)``.
  func state(
    of catalog: CatalogID
  ) async throws -> (state: CatalogState, commands: CommandWindow) {
    do {
      return try await checkpoint(of: catalog)
    } catch let error as NodeError
      where error.code == .unimplemented || error.reason == "no_checkpoint"
    {
      logger.notice(
        "the leader has no checkpoint: fetching its state", metadata: ["reason": "\(error)"])
      let fetched = try await leader.fetchState(
        of: catalog, silenceLimit: options.silenceLimit)
      do {
        return (try fetched.state(), try fetched.commandWindow())
      } catch {
        throw NodeError(.dataLoss, "the leader's state contradicts itself: \(error)")
      }
    }
  }

  /// Takes the leader's state over in place of what is here, which entries do not lead on from.
  func install(in core: NodeCore) async throws {
    let (state, commands) = try await state(of: core.store.catalog)
    guard state.appliedThrough > core.store.current.appliedThrough else {
      CheckpointIntake.remove(in: core.store.folder)
      throw NodeError(
        .failedPrecondition,
        "the leader's state at entry \(state.appliedThrough) is older than what is here")
    }
    try await core.store.install(state, commands: commands)
    CheckpointIntake.remove(in: core.store.folder)
    core.beginEra()
    core.published()
    core.logger.notice(
      "took over the leader's state: it no longer has the entries in between",
      metadata: ["catalog_version": "\(state.version)", "position": "\(state.appliedThrough)"])
  }

  private func checkpoint(
    of catalog: CatalogID
  ) async throws -> (state: CatalogState, commands: CommandWindow) {
    let folder = folder
    let intake = try await NIOThreadPool.singleton.runIfActive {
      try CheckpointIntake(folder: folder, catalog: catalog)
    }
    let progress = try intake.progress()
    if let progress {
      logger.info(
        "going on with a checkpoint",
        metadata: [
          "catalog_version": "\(progress.root.version)", "node": "\(progress.lastNode)",
        ])
    }
    let (client, address) = (leader.client, leader.address)
    let sent = Sent()
    try await whileHeard(every: options.silenceLimit) { heard in
      try await client.fetchCheckpoint(
        of: catalog, version: progress?.root.version ?? .zero, after: progress?.lastNode ?? 0
      ) { part in
        heard()
        try await NIOThreadPool.singleton.runIfActive {
          switch part {
          case .root(let row): try intake.begin(row)
          case .members(let bytes): try intake.add(members: bytes)
          case .nodes(let nodes): try intake.add(nodes)
          case .commands(let bytes, let hash): sent.commands.withLock { $0 = (bytes, hash) }
          }
        }
      }
    } orThrow: {
      leader.replace(client)
      return NodeError(
        .unavailable,
        "nothing more of its checkpoint was heard of \(address) for \(options.silenceLimit)")
    }
    return try await NIOThreadPool.singleton.runIfActive {
      let state = try intake.finish()
      guard let (bytes, hash) = sent.commands.withLock({ $0 }) else {
        return (state, CommandWindow())
      }
      return (state, try .received(bytes, hash: hash, with: state.header))
    }
  }

  /// What came besides the checkpoint.
  private final class Sent: Sendable {
    let commands = Mutex<(bytes: [UInt8], hash: EntryHash)?>(nil)
  }
}

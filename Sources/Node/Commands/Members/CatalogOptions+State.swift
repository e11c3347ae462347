import CadastreClient
import Catalog
import Replay
import StateMachines

extension CatalogOptions {
  /// The newest state of the catalog that was named: of a folder from its log, of a server fetched
  /// and proven by its digest.
  func state() async throws -> CatalogState {
    switch try place() {
    case .folder(let folder):
      do {
        let log = try EventLog.open(folder: folder, mode: .readOnly)
        var replayer = Replayer(log)
        replayer.checkpoints = CheckpointStore.forReading(log) { FolderReader.warn($0) }
        replayer.isCancelled = { Task.isCancelled }
        return try replayer.replay()
      } catch {
        throw Problem(error)
      }
    case .server(let address, let connection):
      let fetched = try await NodeClient.with(address, connection: connection) { client in
        try await client.fetchState(of: nil)
      }
      do {
        return try fetched.state()
      } catch {
        throw Problem(.damaged, code: "state-contradicts-itself", "\(error)")
      }
    }
  }
}

extension CatalogOptions {
  /// The newest members, regions and policies of the catalog that was named: of a folder from its log;
  /// a server is asked for nothing else.
  func membershipOverview() async throws -> MembershipOverview {
    switch try place() {
    case .folder: MembershipOverview(try await state())
    case .server(let address, let connection):
      try await NodeClient.with(address, connection: connection) {
        try await $0.membershipOverview(deadline: .seconds(30))
      }
    }
  }
}

extension CatalogWriter {
  /// Has a change of members or regions carried out.
  func submit(
    _ change: MembershipChange, by author: AuthorOptions
  ) async throws -> CommandReceipt {
    let command = Command(
      id: .random(), actor: author.actorOrUser, reason: author.reason,
      change: .membership(change))
    do {
      return try await submit(command)
    } catch {
      throw Problem(describing: Task.isCancelled ? CancellationError() : error)
        .naming(command.id)
    }
  }
}

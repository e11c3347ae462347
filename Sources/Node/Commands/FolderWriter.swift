import CadastreClient
import Catalog
import Replay
import StateMachines

/// A catalog in a folder, with this process as its one writer.
struct FolderWriter: CatalogWriter {
  private let store: CatalogStore

  /// Opens a catalog that is there.
  ///
  /// - Throws: ``Problem``; it names the process that writes the folder where there is one.
  init(folder: String) throws {
    let progress = ReplayBar("opening")
    defer { progress.finish() }
    do {
      store = try CatalogStore.open(
        folder: folder, wallMilliseconds: NodeClock.system.wallMilliseconds,
        progress: progress.update)
    } catch {
      throw Problem(error)
    }
  }

  /// Makes a catalog without routes.
  ///
  /// - Throws: ``Problem``, also when the folder holds a catalog already.
  init(creating catalog: CatalogID, in folder: String) throws {
    do {
      store = try CatalogStore.create(
        folder: folder, catalog: catalog, wallMilliseconds: NodeClock.system.wallMilliseconds)
    } catch {
      throw Problem(error)
    }
  }

  /// The state that is durable.
  var state: CatalogState { store.current }

  func submit(_ command: Command) async throws -> CommandReceipt {
    do {
      return CommandReceipt(try await store.submit(command))
    } catch {
      throw Problem(error, at: store.current.version)
    }
  }

  /// Lets go of the folder.
  func close() { store.close() }
}

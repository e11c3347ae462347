import CadastreClient
import CadastreProtocol
import Catalog
import Replay
import StateMachines

extension CatalogOptions {
  /// How far the stream of a region is known where the catalog was read, or at any of its members that
  /// answers: by whoever of them has most of it.
  ///
  /// - Throws: ``Problem`` when a folder has a stream that cannot be read.
  func extent(
    of region: Region, by state: CatalogState
  ) async throws -> RecoveryPlan.StreamExtent {
    switch try place() {
    case .folder(let folder):
      do {
        let log = try RegionEventLog.open(
          folder: RegionEventLog.folder(of: region, in: folder), region: region, mode: .readOnly,
          catalog: state.catalog)
        let known = try RegionCore(log).state
        guard known.appliedThrough > .zero else { break }
        return RecoveryPlan.StreamExtent(
          of: region, position: known.appliedThrough, time: known.lastTime)
      } catch StoreError.noLog {
        break
      } catch {
        throw Problem(error)
      }
    case .server(let address, let connection):
      let members = state.membership.members.filter { $0.status != .left }.map(\.address)
      let found = await withTaskGroup(of: Cadastre_V1_RegionStatus?.self) { group in
        for address in Set([address] + members.compactMap { try? NodeAddress($0) }) {
          group.addTask {
            let answer = try? await NodeClient.with(address, connection: connection) { client in
              try await client.regions(deadline: .seconds(2))
            }
            return answer?.regions.first { $0.region == region.name && $0.position > 0 }
          }
        }
        return await group.reduce(into: [Cadastre_V1_RegionStatus]()) { found, status in
          if let status { found.append(status) }
        }
      }
      guard let best = found.max(by: { $0.position < $1.position }) else { break }
      let heard = found.map(\.mirror.leaderPosition).max() ?? 0
      return RecoveryPlan.StreamExtent(
        of: region, position: LogPosition(best.position), time: HybridTimestamp(best.time),
        heard: heard > best.position ? LogPosition(heard) : nil)
    }
    return RecoveryPlan.StreamExtent(of: region)
  }
}

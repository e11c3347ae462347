import CadastreClient
import CadastreProtocol
import Catalog
import Replay
import StateMachines
import Synchronization

/// Finds which node leads a region's stream: asks the members that the catalog knows, those of the
/// region first, and the catalog's leader.
///
/// An answer is good for a moment. Nothing rests on it but whom to ask next: who does not lead says so.
package final class RegionDirectory: Sendable {
  /// What was found of a region's stream.
  package enum Finding: Hashable, Sendable {
    case led(by: Leader)
    /// All members of the region answered, and nobody has a stream of it.
    case none
    /// Nobody leads it, as far as one can hear.
    case unknown
  }

  package struct Leader: Hashable, Sendable {
    package var name: String
    package var address: NodeAddress
    package var epoch: UInt64
  }

  private static let validity: Duration = .seconds(1)
  private static let patience: Duration = .seconds(2)

  private let core: NodeCore
  /// Where streams' leaders were said to be, by an operator.
  private let named: [Region: NodeAddress]
  private let own: MemberName
  /// How nodes are called.
  let connection: ConnectionOptions
  private let known = Mutex<[Region: (finding: Finding, at: Moment)]>([:])

  init(
    _ core: NodeCore, named: [Region: NodeAddress], own: MemberName, connection: ConnectionOptions
  ) {
    self.core = core
    self.named = named
    self.own = own
    self.connection = connection
  }

  /// Who leads a region's stream, by what was found a moment ago or is now.
  package func find(_ region: Region) async -> Finding {
    let now = core.clock.now()
    if let (finding, at) = known.withLock({ $0[region] }), now - at < Self.validity {
      return finding
    }
    let finding = await look(for: region)
    known.withLock { $0[region] = (finding, core.clock.now()) }
    return finding
  }

  /// Forgets what was found: it did not hold.
  package func forget(_ region: Region) { known.withLock { $0[region] = nil } }

  /// Where a member is; nil when it is none.
  package func address(of member: MemberName) -> String? {
    core.store.current.membership.member(member)?.address
  }

  private func look(for region: Region) async -> Finding {
    let members = core.store.current.membership.members.filter {
      $0.status != .left && $0.name != own
    }
    let here = Set(members.filter { $0.region == region }.map(\.address))
    var addresses = Set(members.map(\.address))
    if let address = named[region] { addresses.insert("\(address)") }
    if core.role == .learner { addresses.insert(core.leaderAddress) }
    typealias Answer = (address: NodeAddress, regions: Cadastre_V1_RegionsResponse)
    let answers = await withTaskGroup(of: Answer?.self) { group in
      for text in addresses {
        guard let address = try? NodeAddress(text) else { continue }
        group.addTask {
          let answer = try? await NodeClient.with(address, connection: self.connection) {
            try await $0.regions(deadline: Self.patience)
          }
          return answer.map { (address, $0) }
        }
      }
      return await group.reduce(into: [Answer]()) { answers, answer in
        if let answer { answers.append(answer) }
      }
    }
    var best: Leader?
    var isKnown = false
    for (address, answer) in answers {
      for status in answer.regions where status.region == region.name {
        // A mirror that has nothing yet waits for whoever begins the stream.
        if status.position > 0 { isKnown = true }
        guard status.role == .leader else { continue }
        // One that was lost may not know it yet.
        let leader = Leader(name: answer.member, address: address, epoch: status.epoch)
        if best.map({ $0.epoch < leader.epoch }) ?? true { best = leader }
      }
    }
    if let best { return .led(by: best) }
    let answered = Set(answers.map { "\($0.address)" })
    return isKnown || named[region] != nil || !here.isSubset(of: answered) ? .unknown : .none
  }
}

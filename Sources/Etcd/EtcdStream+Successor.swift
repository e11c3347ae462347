import Foundation
import Replay
import SwiftProtobuf

/// Who is to lead next: a key that is written only while the term leads that it is meant for, and goes
/// when another begins, or by itself with its lease.
extension EtcdStream {
  package func nameSuccessor(
    _ member: ClusterMember, of term: ClusterTerm, lifetime: Duration
  ) async throws(SharedStreamError) {
    let value = try StoredValues.member(member)
    let isNamed: Bool
    do {
      let lease = try await client.grant(seconds: max(1, lifetime.components.seconds))
      isNamed = try await client.transactAnywhere(
        .with {
          $0.compare = [.created(keys.leader, at: term)]
          $0.success = [.put(keys.successor, value, lease: lease)]
        }
      ).succeeded
      if !isNamed { try await client.revoke(lease) }
    } catch {
      throw SharedStreamError(error)
    }
    guard isNamed else { throw .deposed(term) }
  }

  package func successor(of term: ClusterTerm) async throws(SharedStreamError) -> ClusterMember? {
    guard let named = try await value(of: keys.successor) else { return nil }
    // One that is older than the term was meant for another.
    guard ClusterTerm(UInt64(max(0, named.modRevision))) > term else { return nil }
    return try StoredValues.progress(named.value).member
  }
}

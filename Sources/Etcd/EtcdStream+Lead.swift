import Catalog
import Foundation
import GRPCCore
import Replay
import SwiftProtobuf

extension EtcdStream {
  package func leader() async throws(SharedStreamError) -> LeaderRecord? {
    guard let pair = try await value(of: keys.leader) else { return nil }
    return try record(pair)
  }

  /// Who leads, as the leader's key says it: the revision that made it is the term.
  private func record(_ pair: Mvccpb_KeyValue) throws(SharedStreamError) -> LeaderRecord {
    LeaderRecord(
      member: try StoredValues.progress(pair.value).member,
      term: ClusterTerm(UInt64(max(0, pair.createRevision))))
  }

  package func watchLeader(_ body: @Sendable (LeaderRecord?) async -> Void) async throws {
    var last: LeaderRecord??
    while true {
      try Task.checkCancellation()
      do {
        let found = try await range(.with { $0.key = keys.leader })
        let record = try found.kvs.first.map(record)
        if last != .some(record) {
          last = .some(record)
          await body(record)
        }
        try await watch(keys.leader, from: found.header.revision + 1) { events in
          events.isEmpty
        }
      } catch is CancellationError {
        throw CancellationError()
      } catch {
        if let refusal = SharedStreamError(finalRefusal: error) { throw refusal }
        try await Task.sleep(for: .milliseconds(100))
      }
    }
  }

  /// Lends the events of a key, or of all keys up to `rangeEnd`, until `body` returns false or the
  /// server ends the watch, as it does where what comes next is compacted.
  func watch(
    _ key: Data, to rangeEnd: Data = Data(), from revision: Int64,
    _ body: @escaping @Sendable ([Mvccpb_Event]) async throws -> Bool
  ) async throws {
    try await client.stream { endpoint, metadata, call in
      try await endpoint.watch.watch(
        metadata: metadata, options: call,
        requestProducer: { writer in
          try await writer.write(
            .with {
              $0.createRequest = .with {
                $0.key = key
                $0.rangeEnd = rangeEnd
                $0.startRevision = revision
                $0.fragment = true
              }
            })
          // The stream is open as long as the answers are read.
          while !Task.isCancelled { try await Task.sleep(for: .seconds(3600)) }
        },
        onResponse: { response in
          for try await message in response.messages {
            if message.canceled { return }
            if message.events.isEmpty { continue }
            guard try await body(message.events) else { return }
          }
        })
    }
  }

  package func campaign(_ member: ClusterMember) async throws -> any Leadership {
    while true {
      try Task.checkCancellation()
      do {
        let named = try await value(of: keys.successor)
        if let named, try StoredValues.progress(named.value).member.name != member.name {
          try await Task.sleep(for: .milliseconds(200))
          continue
        }
        if let lead = try await candidacy(of: member, named: named) { return lead }
        try await untilNobodyLeads()
      } catch is CancellationError {
        throw CancellationError()
      } catch {
        if let refusal = SharedStreamError(finalRefusal: error) { throw refusal }
        try await Task.sleep(for: .milliseconds(200))
      }
    }
  }

  /// Takes the lead where nobody has it, and where nobody was named since `named` was read.
  private func candidacy(
    of member: ClusterMember, named: Mvccpb_KeyValue?
  ) async throws -> EtcdLeadership? {
    let value = try StoredValues.member(member)
    let begun = ContinuousClock.now
    let lease = try await client.grant(seconds: client.options.leaseSeconds)
    let won: Int64?
    do {
      won = try await revision(of: value, boundTo: lease, named: named)
      try Task.checkCancellation()
    } catch {
      await giveBack(lease)
      throw error
    }
    guard let won else {
      await giveBack(lease)
      return nil
    }
    return EtcdLeadership(
      client, term: ClusterTerm(UInt64(max(0, won))), lease: lease,
      seconds: client.options.leaseSeconds, begun: begun)
  }

  /// Makes the leader's key where there is none, and forgets who was named to.
  ///
  /// - Returns: The revision that made it; nil where there is another's.
  private func revision(
    of value: Data, boundTo lease: Int64, named: Mvccpb_KeyValue?
  ) async throws -> Int64? {
    let request = Etcdserverpb_TxnRequest.with {
      $0.compare = [
        .created(keys.leader, at: 0), .changed(keys.successor, at: named?.modRevision ?? 0),
      ]
      $0.success = [
        .put(keys.leader, value, lease: lease),
        .delete(keys.successor, StreamKeys.after(keys.successor)),
      ]
    }
    do throws(EtcdError) {
      let answer = try await client.transact(request)
      return answer.succeeded ? answer.header.revision : nil
    } catch {
      guard case .lost = error else { throw error }
    }
    // The lease tells whose key it is.
    let found = try await self.value(of: keys.leader)
    return found?.lease == lease ? found?.createRevision : nil
  }

  /// Ends a lease also where the task is cancelled; one that cannot be ended ends by itself.
  private func giveBack(_ lease: Int64) async {
    let client = client
    await Task.detached { try? await client.revoke(lease) }.value
  }

  /// Waits until there is no leader's key; now and then looks by itself, should a watch miss it.
  private func untilNobodyLeads() async throws {
    while true {
      let found = try await range(.with { $0.key = keys.leader })
      guard !found.kvs.isEmpty else { return }
      let patience = Duration.seconds(client.options.leaseSeconds)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          try await self.watch(self.keys.leader, from: found.header.revision + 1) { events in
            !events.contains { $0.type == .delete }
          }
        }
        group.addTask { try await Task.sleep(for: patience) }
        defer { group.cancelAll() }
        try await group.next()
      }
    }
  }
}

/// The lead of a stream: a lease of etcd's that is renewed three times in its life.
final class EtcdLeadership: Leadership {
  let term: ClusterTerm
  private let client: EtcdClient
  private let lease: Int64
  private let renewing: Task<String, Never>

  /// `begun` is a time before the lease was granted.
  init(
    _ client: EtcdClient, term: ClusterTerm, lease: Int64, seconds: Int64,
    begun: ContinuousClock.Instant
  ) {
    (self.client, self.term, self.lease) = (client, term, lease)
    renewing = Task.detached {
      await Self.renew(client, lease, every: .seconds(seconds), begun: begun)
    }
  }

  deinit { renewing.cancel() }

  /// Renews until that fails for too long, and says why.
  private static func renew(
    _ client: EtcdClient, _ lease: Int64, every life: Duration, begun: ContinuousClock.Instant
  ) async -> String {
    var end = begun + life
    var problem = "etcd did not answer"
    while true {
      do {
        try await Task.sleep(until: min(end, ContinuousClock.now + life / 3), clock: .continuous)
      } catch {
        return "it was given back"
      }
      let sent = ContinuousClock.now
      guard sent < end else { return "its lease was not renewed in time: \(problem)" }
      do {
        guard try await client.renew(lease, within: min(life / 3, end - sent)) else {
          return "its lease has ended"
        }
        // It counts from when it was asked for: etcd counts from later.
        end = sent + life
      } catch {
        problem = "\(error)"
        if case .lost = error {
          // At once at another member.
          try? await Task.sleep(for: .milliseconds(20))
        }
      }
    }
  }

  func untilLost() async -> String {
    // The end of another task is waited for whether or not this one is cancelled; a stream is not.
    let (ends, end) = AsyncStream.makeStream(of: String.self)
    let renewing = renewing
    Task.detached {
      end.yield(await renewing.value)
      end.finish()
    }
    for await why in ends { return why }
    return "nobody waits for its end any more"
  }

  func resign() async {
    renewing.cancel()
    let (client, lease) = (client, lease)
    await Task.detached { try? await client.revoke(lease) }.value
  }
}

import CadastreClient
import Catalog
import Foundation
import GRPCCore
import Replay
import SwiftProtobuf
import Synchronization

/// A stream that an etcd cluster keeps.
///
/// Every write compares the leader's key with the revision that made it, so that a leader is fenced by
/// etcd's order of revisions and never by time; an append compares the end of the stream too. An
/// append is one value, however many entries it has, and becomes visible by one transaction.
package final class EtcdStream: SharedStream {
  /// An append of more bytes than these is cut into pieces: etcd takes requests of 1.5 MiB.
  static let pieceByteCount = 1 << 20

  package let client: EtcdClient
  package let name: String
  let keys: StreamKeys

  /// What the appender knows of the end, to compare with.
  struct KnownEnd {
    var term: ClusterTerm
    var tail: LogTail
    var revision: Int64
    var total: UInt64
    /// How many bytes were trimmed.
    var trimmed: UInt64
  }

  let end = Mutex<KnownEnd?>(nil)
  /// How many appends were cut into pieces.
  let pieceSets = Atomic<UInt64>(0)
  /// The lease that this member's word is bound to.
  let reportLease = Mutex<Int64?>(nil)

  /// A stream of a cluster: `cluster` names it among others on the same etcd.
  package init(_ client: EtcdClient, cluster: String, stream: String = "catalog") {
    self.client = client
    // Not where it is: servers move.
    name = cluster
    keys = StreamKeys(prefix: "/cadastre/\(cluster)/\(stream)/")
  }

  // MARK: - The stream as a whole

  package func catalog() async throws(SharedStreamError) -> CatalogID? {
    guard let meta = try await value(of: keys.meta) else { return nil }
    return try StoredValues.catalog(meta.value)
  }

  package func create(
    _ catalog: CatalogID, after tail: LogTail
  ) async throws(SharedStreamError) {
    let meta = try StoredValues.meta(catalog, after: tail)
    let end = try StoredValues.encode(StoredValues.wire(tail))
    let trimmed = try StoredValues.encode(
      Cadastre_Etcd_V1_StreamTrim.with { $0.through = StoredValues.wire(tail) })
    let request = Etcdserverpb_TxnRequest.with {
      $0.compare = [.created(keys.meta, at: 0)]
      $0.success = [
        .put(keys.meta, meta), .put(keys.tail, end), .put(keys.trimmed, trimmed),
      ]
    }
    let isMade: Bool
    do {
      isMade = try await client.transact(request).succeeded
    } catch {
      guard case .lost = error else { throw SharedStreamError(error) }
      // Whether it was done, it may be seen; and nobody else would write the same.
      guard let found = try await value(of: keys.meta) else {
        throw .unavailable("\(error)")
      }
      isMade = found.value == meta
    }
    guard isMade else { throw .exists(name) }
  }

  package func remove(endingWith tail: LogTail) async throws(SharedStreamError) {
    guard let end = try await value(of: keys.tail) else { throw .missing(name) }
    let found = try StoredValues.tail(
      StoredValues.decode(Cadastre_Etcd_V1_StreamTail.self, end.value, "the end of the stream"))
    guard found == tail else { throw .elsewhere(expected: tail, found: found) }
    let request = Etcdserverpb_TxnRequest.with {
      $0.compare = [.created(keys.leader, at: 0), .changed(keys.tail, at: end.modRevision)]
      $0.success = [.delete(keys.all, StreamKeys.end(of: keys.all))]
    }
    do {
      guard try await client.transact(request).succeeded else {
        throw SharedStreamError.elsewhere(expected: tail, found: found)
      }
    } catch let error as SharedStreamError {
      throw error
    } catch {
      // Whether it was done, it may be seen.
      guard try await value(of: keys.meta) == nil else { throw .unavailable("\(error)") }
    }
  }

  package func tail() async throws(SharedStreamError) -> LogTail {
    guard let tail = try await value(of: keys.tail) else { throw .missing(name) }
    return try StoredValues.tail(
      StoredValues.decode(Cadastre_Etcd_V1_StreamTail.self, tail.value, "the end of the stream"))
  }

  package func trimmedThrough() async throws(SharedStreamError) -> LogPosition {
    LogPosition(try await trimmed().position)
  }

  func trimmed() async throws(SharedStreamError) -> Cadastre_Etcd_V1_StreamTail {
    guard let trimmed = try await value(of: keys.trimmed) else { throw .missing(name) }
    return try StoredValues.decode(
      Cadastre_Etcd_V1_StreamTrim.self, trimmed.value, "the beginning of the window"
    ).through
  }

  package func usage() async throws(SharedStreamError) -> SharedStreamUsage? {
    do {
      return SharedStreamUsage(
        used: UInt64(max(0, try await client.status().dbSizeInUse)),
        quota: client.options.quotaByteCount)
    } catch {
      throw SharedStreamError(error)
    }
  }

  // MARK: - Members

  package func report(
    _ member: ClusterMember, storedThrough position: LogPosition, lifetime: Duration
  ) async throws(SharedStreamError) {
    let value = try StoredValues.member(member, storedThrough: position)
    do {
      var lease = reportLease.withLock { $0 }
      if let known = lease, try await !client.renew(known, within: client.options.callTimeout) {
        lease = nil
      }
      let seconds = max(1, lifetime.components.seconds)
      let bound: Int64
      if let lease { bound = lease } else { bound = try await client.grant(seconds: seconds) }
      reportLease.withLock { $0 = bound }
      _ = try await client.transactAnywhere(
        .with { $0.success = [.put(keys.member(member.name), value, lease: bound)] })
    } catch {
      // A lease that ended meanwhile is made anew the next time.
      reportLease.withLock { $0 = nil }
      throw SharedStreamError(error)
    }
  }

  package func progress() async throws(SharedStreamError) -> [MemberProgress] {
    let found = try await range(
      .with {
        $0.key = keys.members
        $0.rangeEnd = StreamKeys.end(of: keys.members)
      })
    var progress: [MemberProgress] = []
    for pair in found.kvs { progress.append(try StoredValues.progress(pair.value)) }
    return progress
  }

  // MARK: - The window

  package func trim(
    through position: LogPosition, in term: ClusterTerm
  ) async throws(SharedStreamError) {
    // Of the appends that begin there or before, the last that ends there or before: one of two.
    let found = try await range(
      .with {
        $0.key = keys.appends
        $0.rangeEnd = StreamKeys.after(keys.append(position))
        $0.sortOrder = .descend
        $0.limit = 2
      })
    var last: Cadastre_Etcd_V1_StreamTail?
    var key = Data()
    for pair in found.kvs {
      let append = try StoredValues.decode(
        Cadastre_Etcd_V1_StoredAppend.self, pair.value, "an append")
      guard append.tail.position <= position.rawValue else { continue }
      (last, key) = (append.tail, pair.key)
      break
    }
    guard let last else { return }  // Nothing that is wholly behind it.
    let trimmed = try StoredValues.encode(Cadastre_Etcd_V1_StreamTrim.with { $0.through = last })
    let request = Etcdserverpb_TxnRequest.with {
      $0.compare = [.created(keys.leader, at: term)]
      $0.success = [
        .delete(keys.appends, StreamKeys.after(key)),
        .delete(keys.pieces, StreamKeys.end(of: keys.pieces(ofAppendAt: key))),
        .put(keys.trimmed, trimmed),
      ]
    }
    do {
      // Done again it does the same.
      let answer = try await client.transactAnywhere(request)
      guard answer.succeeded else { throw SharedStreamError.deposed(term) }
      end.withLock { $0?.trimmed = last.totalByteCount }
      try await client.compact(before: answer.header.revision)
    } catch let error as EtcdError {
      throw SharedStreamError(error)
    } catch let error as SharedStreamError {
      throw error
    } catch {
      throw .unavailable("\(error)")
    }
  }
}

// MARK: - Reading keys

extension EtcdStream {
  func range(
    _ request: Etcdserverpb_RangeRequest
  ) async throws(SharedStreamError) -> Etcdserverpb_RangeResponse {
    do {
      return try await client.range(request)
    } catch {
      throw SharedStreamError(error)
    }
  }

  func value(of key: Data) async throws(SharedStreamError) -> Mvccpb_KeyValue? {
    try await range(.with { $0.key = key }).kvs.first
  }
}

extension SharedStreamError {
  init(_ error: EtcdError) {
    switch error {
    case .refused(.resourceExhausted, let message):
      self = .unavailable(
        "\(message); make room with etcdctl compact and defrag, then etcdctl alarm disarm")
    case .refused: self = .refused("\(error)")
    case .lost(let message, nil): self = .unavailable(message)
    case .lost(let message, let problem?):
      self = .untrusted(message, remedy: problem.remedyAtEtcd)
    }
  }
}

extension SharedStreamError {
  /// What etcd refuses for good; nil for what may go better another time.
  init?(finalRefusal error: any Error) {
    switch error {
    case SharedStreamError.refused(let message): self = .refused(message)
    case let error as EtcdError where error.isFinal: self = SharedStreamError(error)
    default: return nil
    }
  }
}

extension Etcdserverpb_Compare {
  /// That a key was made by this revision; 0: that there is none.
  static func created(_ key: Data, at revision: Int64) -> Self {
    .with {
      $0.target = .create
      $0.key = key
      $0.createRevision = revision
    }
  }

  static func created(_ key: Data, at term: ClusterTerm) -> Self {
    // A term is a revision of etcd's.
    created(key, at: Int64(clamping: term.rawValue))
  }

  /// That a key was changed last by this revision.
  static func changed(_ key: Data, at revision: Int64) -> Self {
    .with {
      $0.target = .mod
      $0.key = key
      $0.modRevision = revision
    }
  }
}

extension Etcdserverpb_RequestOp {
  static func put(_ key: Data, _ value: Data, lease: Int64 = 0) -> Self {
    .with {
      $0.requestPut.key = key
      $0.requestPut.value = value
      $0.requestPut.lease = lease
    }
  }

  static func delete(_ key: Data, _ end: Data) -> Self {
    .with {
      $0.requestDeleteRange.key = key
      $0.requestDeleteRange.rangeEnd = end
    }
  }

  static func range(_ key: Data) -> Self { .with { $0.requestRange.key = key } }
}

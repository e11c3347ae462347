import Catalog
import Foundation
import Replay
import SwiftProtobuf
import Synchronization

extension EtcdStream {
  package func append(
    _ entries: [EncodedEntry], after tail: LogTail, in term: ClusterTerm
  ) throws(SharedStreamError) {
    guard !entries.isEmpty else { return }
    // The thread is one of its own: it has nothing to do until the outcome is known.
    let outcome = Monitor<Result<Void, SharedStreamError>?>(nil)
    Task.detached {
      let result: Result<Void, SharedStreamError>
      do throws(SharedStreamError) {
        try await self.appending(entries, after: tail, in: term)
        result = .success(())
      } catch {
        result = .failure(error)
      }
      outcome.change { $0 = result }
    }
    try outcome.wait { $0 }.get()
  }

  private func appending(
    _ entries: [EncodedEntry], after tail: LogTail, in term: ClusterTerm
  ) async throws(SharedStreamError) {
    guard let first = entries.first, let last = entries.last else { return }
    let known = try await knownEnd(tail, in: term)
    let count = entries.reduce(UInt64(0)) { $0 + UInt64($1.bytes.count) }
    let held = known.total - min(known.total, known.trimmed)
    guard held + count <= client.options.windowByteLimit || held == 0 else {
      throw .windowFull(used: held, limit: client.options.windowByteLimit)
    }
    let newTail = LogTail(last)
    let wireTail = StoredValues.wire(newTail, total: known.total + count)
    var append = Cadastre_Etcd_V1_StoredAppend.with {
      $0.entries = entries.map { Data($0.bytes) }
      $0.tail = wireTail
    }
    let bytes = try StoredValues.encode(append)
    let deadline = ContinuousClock.now + client.options.outcomeTimeout
    if bytes.count > Self.pieceByteCount {
      append = .with { $0.tail = wireTail }
      let number = pieceSets.add(1, ordering: .relaxed).newValue
      append.pieceSet = "\(term)-\(number)"
      append.pieces = try await write(
        bytes, as: append.pieceSet, of: first.entry.position, in: term, until: deadline)
      append.byteCount = UInt64(bytes.count)
      append.sha256 = StoredValues.sha256(bytes)
    }
    let value = append.pieces == 0 ? bytes : try StoredValues.encode(append)
    let end = try StoredValues.encode(wireTail)
    let request = Etcdserverpb_TxnRequest.with {
      $0.compare = [.created(keys.leader, at: term), .changed(keys.tail, at: known.revision)]
      $0.success = [.put(keys.append(first.entry.position), value), .put(keys.tail, end)]
      $0.failure = [.range(keys.leader), .range(keys.tail)]
    }
    let revision = try await settle(
      request, from: tail, to: newTail, at: first.entry.position, in: term, until: deadline)
    self.end.withLock { known in
      let trimmed = known?.trimmed ?? 0
      known = KnownEnd(
        term: term, tail: newTail, revision: revision, total: wireTail.totalByteCount,
        trimmed: trimmed)
    }
  }

  /// The end as this appender left it, or as etcd says.
  private func knownEnd(
    _ tail: LogTail, in term: ClusterTerm
  ) async throws(SharedStreamError) -> KnownEnd {
    if let known = end.withLock({ $0 }), known.tail == tail, known.term == term { return known }
    guard let found = try await value(of: keys.tail) else { throw .missing(name) }
    let wire = try StoredValues.decode(
      Cadastre_Etcd_V1_StreamTail.self, found.value, "the end of the stream")
    let actual = try StoredValues.tail(wire)
    guard actual == tail else {
      // Who leads no more is told so, wherever the stream ends: as by an append that is fenced.
      guard try await leader()?.term == term else { throw .deposed(term) }
      throw .elsewhere(expected: tail, found: actual)
    }
    let trimmed = try await trimmed().totalByteCount
    let known = KnownEnd(
      term: term, tail: tail, revision: found.modRevision, total: wire.totalByteCount,
      trimmed: trimmed)
    end.withLock { $0 = known }
    return known
  }

  /// Writes what is too large for one request, where nobody looks before it is whole, and where no
  /// request of another try can come late.
  private func write(
    _ bytes: Data, as set: String, of position: LogPosition, in term: ClusterTerm,
    until deadline: ContinuousClock.Instant
  ) async throws(SharedStreamError) -> UInt32 {
    var count = 0
    var start = bytes.startIndex
    while start < bytes.endIndex {
      let end = min(start + Self.pieceByteCount, bytes.endIndex)
      let request = Etcdserverpb_TxnRequest.with {
        $0.compare = [.created(keys.leader, at: term)]
        $0.success = [.put(keys.piece(count, of: position, set), bytes[start..<end])]
      }
      try await repeating(request, in: term, until: deadline)
      (start, count) = (end, count + 1)
    }
    return UInt32(count)
  }

  /// Has something done that does the same when it is done again.
  private func repeating(
    _ request: Etcdserverpb_TxnRequest, in term: ClusterTerm,
    until deadline: ContinuousClock.Instant
  ) async throws(SharedStreamError) {
    while true {
      let failure: EtcdError
      do throws(EtcdError) {
        guard try await client.transactAnywhere(request).succeeded else { break }
        return
      } catch {
        failure = error
      }
      guard case .lost = failure, ContinuousClock.now < deadline else {
        throw SharedStreamError(failure)
      }
      try? await Task.sleep(for: .milliseconds(50))
    }
    throw .deposed(term)
  }

  /// Has an append done, and finds out whether it was.
  ///
  /// It may be asked for again and again: it is done only where the stream ends as it did before.
  ///
  /// - Returns: The revision that moved the end.
  private func settle(
    _ request: Etcdserverpb_TxnRequest, from old: LogTail, to new: LogTail,
    at first: LogPosition, in term: ClusterTerm, until deadline: ContinuousClock.Instant
  ) async throws(SharedStreamError) -> Int64 {
    /// Whether an earlier request may be done still.
    var isPending = false
    while true {
      let answer: Result<Etcdserverpb_TxnResponse, EtcdError>
      do throws(EtcdError) {
        answer = .success(try await client.transact(request))
      } catch {
        answer = .failure(error)
      }
      switch answer {
      case .success(let answer):
        if answer.succeeded { return answer.header.revision }
        return try await judge(answer, from: old, to: new, at: first, in: term)
      case .failure(.refused(let code, let message)):
        // Of an earlier request this says nothing.
        throw isPending
          ? .outcomeUnknown(message) : SharedStreamError(EtcdError.refused(code, message))
      case .failure(.lost(let message, _)):
        isPending = true
        guard ContinuousClock.now < deadline else { throw .outcomeUnknown(message) }
      }
      try? await Task.sleep(for: .milliseconds(50))
    }
  }

  /// What became of an append whose comparison failed: its leader's key and the end of the stream, as
  /// they were then, tell for good.
  private func judge(
    _ answer: Etcdserverpb_TxnResponse, from old: LogTail, to new: LogTail,
    at first: LogPosition, in term: ClusterTerm
  ) async throws(SharedStreamError) -> Int64 {
    guard answer.responses.count == 2, let end = answer.responses[1].responseRange.kvs.first else {
      throw .missing(name)
    }
    let tail = try StoredValues.tail(
      StoredValues.decode(Cadastre_Etcd_V1_StreamTail.self, end.value, "the end of the stream"))
    // A request before this one was done, and its answer lost.
    if tail == new { return end.modRevision }
    let leader = answer.responses[0].responseRange.kvs.first
    if leader?.createRevision == Int64(clamping: term.rawValue) {
      throw .elsewhere(expected: old, found: tail)
    }
    guard tail.position > old.position else { throw .deposed(term) }
    // Another leads, and the stream has gone on: behind this append, or without it.
    let (there, trimmed): (Mvccpb_KeyValue?, UInt64)
    do throws(SharedStreamError) {
      there = try await value(of: keys.append(first))
      trimmed = try await self.trimmed().position
    } catch {
      throw .outcomeUnknown(error.problem)
    }
    guard let there else {
      if trimmed < first.rawValue { throw .deposed(term) }
      throw .outcomeUnknown("the stream has gone on, and is trimmed past it")
    }
    let append = try StoredValues.decode(
      Cadastre_Etcd_V1_StoredAppend.self, there.value, "an append")
    guard try StoredValues.tail(append.tail) == new else { throw .deposed(term) }
    return there.modRevision
  }
}

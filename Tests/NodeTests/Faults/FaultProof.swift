import CadastreClient
import Catalog
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// Holds what callers were told against each other, and against the record that nodes keep.
struct FaultProof {
  private let clients: RegisterClients
  private let context: String

  init(_ clients: RegisterClients, seed: UInt64, schedule: [HarmRound]) {
    self.clients = clients
    context = "seed \(seed): " + schedule.map(\.description).joined(separator: ", ")
  }

  /// - Parameter folders: Those of the nodes, which have stopped; the first has the whole log.
  /// - Throws: ``StoreError`` when a log cannot be read or proven, `EvolveError` when it cannot be
  ///   replayed.
  func check(_ folders: [String]) throws {
    checkOrder()
    checkVersionsRise()
    let logs = try folders.map { try EventLog.open(folder: $0, mode: .readOnly) }
    let summaries = try logs.map { try Verifier($0).verify() }
    let summary = try #require(summaries.first)
    #expect(summary.first == LogPosition(1), "\(context)")
    for (folder, other) in zip(folders, summaries) {
      #expect(other.last == summary.last, "\(context): \(folder)")
      #expect(other.headHash == summary.headHash, "\(context): \(folder)")
      #expect(other.digest == summary.digest, "\(context): \(folder)")
    }
    let entries = try logs[0].entries(from: LogPosition(1), maxCount: .max)
    checkCommands(in: entries)
    let replayed = try checkLookups(in: entries, of: summary.catalog)
    #expect(replayed == summary.digest, "\(context)")
  }

  /// What there was to prove, for people.
  var summary: String {
    let sent = clients.sent.value
    return """
      \(clients.recorder.recorded.count) calls in order, \(clients.lookups.value.count) lookups, \
      \(sent.count { $0.receipt != nil }) commands carried out, \
      \(sent.count { $0.result == nil }) of unknown outcome
      """
  }

  /// Each register is in order by itself.
  private func checkOrder() {
    for (index, register) in clients.registers.enumerated() {
      let history = clients.recorder.history(of: index)
      let verdict = LinearizabilityChecker(RouteRegister(start: register.start)).check(history)
      #expect(
        verdict.isLinearizable, "\(context): \(register.key): \(verdict.report(history))")
    }
  }

  /// All of them together: whatever began when a version had been told saw that or a later one, and a
  /// command made a later one.
  private func checkVersionsRise() {
    let recorded = clients.recorder.recorded
    let versions = Dictionary(
      clients.sights.value.map { ($0.index, $0.version) }, uniquingKeysWith: max)
    var moments: [(tick: UInt64, isEnd: Bool, index: Int)] = []
    for (index, (_, item)) in recorded.enumerated()
    where item.result != nil && versions[index] != nil {
      moments += [(item.start, false, index), (item.end, true, index)]
    }
    moments.sort { $0.tick < $1.tick }
    var told = CatalogVersion.zero
    for moment in moments {
      guard let version = versions[moment.index] else { continue }
      let (_, item) = recorded[moment.index]
      if moment.isEnd {
        told = max(told, version)
      } else if case .made? = item.result {
        #expect(version > told, "\(context): \(item)")
      } else {
        #expect(version >= told, "\(context): \(item)")
      }
    }
  }

  /// What was acknowledged is in the record once, where its receipt says; what was not at most once;
  /// what was refused is not.
  private func checkCommands(in entries: [EncodedEntry]) {
    var places: [CommandID: EncodedEntry] = [:]
    for entry in entries {
      #expect(places.updateValue(entry, forKey: entry.entry.command) == nil, "\(context)")
    }
    var made: Set<CatalogVersion> = []
    for sent in clients.sent.value {
      let entry = places[sent.id]?.entry
      switch sent.result {
      case .made(let version)?:
        #expect(entry?.version == version, "\(context): \(sent)")
        #expect(entry?.position == sent.receipt?.position, "\(context): \(sent)")
        #expect(made.insert(version).inserted, "\(context): \(sent)")
      case nil: break
      case .alreadyDone?, .found?, .refusedAsStale?, .refusedAsInactive?, .refusedAsOutside?:
        #expect(entry == nil, "\(context): \(sent)")
      }
    }
    #expect(!made.isEmpty, "\(context)")
  }

  /// A fresh replay makes each version once, without a gap, and every answer is true for its version.
  private func checkLookups(in entries: [EncodedEntry], of catalog: CatalogID) throws -> StateDigest
  {
    var state = CatalogState(catalog: catalog)
    // Of each register what it became, and with which version.
    var values: [[(version: CatalogVersion, value: RouteRegister.Value)]] = clients.registers
      .map { _ in [] }
    for entry in entries {
      let before = state.version
      try state.evolve(entry)
      guard state.version != before else { continue }
      #expect(state.version == before.next, "\(context)")
      for (index, register) in clients.registers.enumerated() {
        let route = try #require(state.routes.route(containing: register.key))
        let value = RouteRegister.Value(route)
        if values[index].last?.value != value { values[index].append((state.version, value)) }
      }
    }
    for lookup in clients.lookups.value {
      let truth = values[lookup.register].last { $0.version <= lookup.version }?.value
      #expect(truth == lookup.value, "\(context): \(lookup)")
    }
    return state.digest
  }
}

import Catalog
@testable import Etcd
import Replay
import StateMachines
import TestSupport
import Testing

/// What a stream answered, so that the answers of two can be compared.
enum StreamAnswer<Value: Equatable>: Equatable {
  case value(Value)
  case failed(SharedStreamError)
  case cancelled
}

/// The answer to what has none but that it was done.
struct Done: Equatable {}

/// The stream in memory or the one in etcd: each member's way to it, and who has led it.
struct StreamTwin {
  let streams: [any SharedStream]
  /// Everyone who ever led, in order.
  var leads: [any Leadership] = []
  /// A member that takes the lead, or waits for it.
  var campaign: Task<any Leadership, any Error>?

  init(_ streams: [any SharedStream]) { self.streams = streams }

  /// A term as both sides count it: how many had led with it; 0 is one that was never told.
  func ordinal(_ term: ClusterTerm) -> ClusterTerm {
    ClusterTerm(UInt64(leads.firstIndex { $0.term == term }.map { $0 + 1 } ?? 0))
  }

  func answer<Value>(
    _ body: (Self) async throws -> Value
  ) async throws -> StreamAnswer<Value> {
    do {
      return .value(try await body(self))
    } catch let error as SharedStreamError {
      return .failed(comparable(error))
    } catch is CancellationError {
      return .cancelled
    }
  }

  private func comparable(_ error: SharedStreamError) -> SharedStreamError {
    switch error {
    case .deposed(let term): .deposed(ordinal(term))
    case .outcomeUnknown: .outcomeUnknown("")
    case .elsewhere, .unavailable, .untrusted, .refused, .windowFull, .trimmed, .missing, .exists,
      .damaged:
      error
    }
  }
}

/// The stream in memory and one in etcd, to which the same is done.
struct StreamTwins {
  struct Difference: Error, CustomStringConvertible { let description: String }

  let seed: UInt64
  private let members: [ClusterMember]
  private var model: StreamTwin
  private var etcd: StreamTwin
  /// Which of those who led does so now.
  private(set) var leader: Int?
  /// The members who led, in order.
  private(set) var leaders: [Int] = []
  private var candidate = 0
  private(set) var step = 0

  init(
    seed: UInt64, members: [ClusterMember], model: [any SharedStream], etcd: [any SharedStream]
  ) {
    (self.seed, self.members) = (seed, members)
    (self.model, self.etcd) = (StreamTwin(model), StreamTwin(etcd))
  }

  /// Whether a member waits for the lead.
  var isAwaited: Bool { model.campaign != nil }

  /// What only the model is asked, to choose what to do.
  var stream: any SharedStream { model.streams[0] }

  /// Does the same to both.
  ///
  /// - Throws: ``Difference`` unless they answer the same.
  @discardableResult
  mutating func ask<Value>(
    _ what: String, mayBeUnknown: Bool = false, _ body: (StreamTwin) async throws -> Value
  ) async throws -> StreamAnswer<Value> {
    step += 1
    let expected = try await model.answer(body)
    let found = try await etcd.answer(body)
    if mayBeUnknown, found == .failed(.outcomeUnknown("")) { return expected }
    guard expected == found else {
      throw Difference(
        description: """
          CADASTRE_SEED=\(seed), step \(step): \(what): \
          the model says \(expected), etcd says \(found)
          """)
    }
    return expected
  }

  /// Lets a member take the lead, or wait for it where another leads.
  mutating func campaign(_ member: Int) async throws {
    candidate = member
    model.campaign = campaigning(member, for: model.streams[member])
    etcd.campaign = campaigning(member, for: etcd.streams[member])
    if leader == nil { try await win() }
  }

  private func campaigning(
    _ member: Int, for stream: any SharedStream
  ) -> Task<any Leadership, any Error> {
    let member = members[member]
    return Task { try await stream.campaign(member) }
  }

  /// Lets whoever waits for the lead give up.
  mutating func giveUp() async throws {
    model.campaign?.cancel()
    etcd.campaign?.cancel()
    try await ask("give up") { twin in
      _ = try await twin.campaign?.value
      return Done()
    }
    (model.campaign, etcd.campaign) = (nil, nil)
  }

  /// Gives a lead back, which may have been given back before; who waits for it has it then.
  mutating func resign(_ lead: Int) async throws {
    try await ask("resign lead \(lead)") { twin in
      await twin.leads[lead].resign()
      return Done()
    }
    guard lead == leader else { return }
    leader = nil
    if isAwaited { try await win() }
  }

  /// Waits for the lead that nobody else has.
  private mutating func win() async throws {
    for side in [\Self.model, \Self.etcd] {
      guard let lead = try await self[keyPath: side].campaign?.value else { continue }
      for earlier in self[keyPath: side].leads { #expect(lead.term > earlier.term) }
      self[keyPath: side].leads.append(lead)
      self[keyPath: side].campaign = nil
    }
    leaders.append(candidate)
    leader = leaders.count - 1
  }
}

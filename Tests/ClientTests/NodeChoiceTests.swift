import Catalog
import GRPCCore
import TestSupport
import Testing

@testable import CadastreClient

@Suite struct NodeChoiceTests {
  private var policy: CadastreClient.RetryPolicy {
    var policy = CadastreClient.RetryPolicy()
    policy.failuresToEject = 2
    policy.firstEjection = .seconds(1)
    policy.maximumEjection = .seconds(4)
    policy.attemptTimeout = .milliseconds(100)
    return policy
  }

  /// Nodes 0 and 1 are at home, node 2 is not.
  private func choice() throws -> NodeChoice {
    let (home, away) = (try Region("home"), try Region("away"))
    let nodes = [(1, home), (2, home), (3, away)].map {
      CatalogEndpoint(NodeAddress(host: "127.0.0.1", port: $0.0), region: $0.1)
    }
    return NodeChoice(nodes, home: home, policy: policy)
  }

  @Test func spreadsOverTheHomeRegionAlone() throws {
    var (choice, random) = (try choice(), SeededGenerator(seed: 1))
    let drawn = (0..<200).compactMap { _ in choice.next(at: .zero, using: &random) }
    #expect(Set(drawn) == [0, 1])
    #expect(abs(drawn.count { $0 == 0 } - 100) < 40)
  }

  @Test func goesElsewhereWhenHomeHasFailedTheCall() throws {
    var (choice, random) = (try choice(), SeededGenerator(seed: 1))
    #expect(choice.next(at: .zero, tried: [0], using: &random) == 1)
    #expect(choice.next(at: .zero, tried: [0, 1], using: &random) == 2)
    #expect(choice.next(at: .zero, tried: [0, 1, 2], using: &random) == nil)
    #expect(choice.next(at: .zero, tried: [0, 1], onlyHome: true, using: &random) == nil)
    #expect(choice.next(at: .zero, preferred: 2, using: &random) == 2)
  }

  @Test func ejectsWhatFailsAndLetsOneCallProbeIt() throws {
    var (choice, random) = (try choice(), SeededGenerator(seed: 1))
    choice.failed(0, at: .zero)
    #expect(!choice.isEjected(0))
    choice.failed(0, at: .zero)
    #expect(choice.isEjected(0))
    let early = (0..<50).compactMap { _ in choice.next(at: .milliseconds(999), using: &random) }
    #expect(Set(early) == [1])
    // Its time is up: one call gets it, and no other while that one may be under way.
    let late = (0..<50).compactMap { _ in choice.next(at: .seconds(1), using: &random) }
    #expect(late.count { $0 == 0 } == 1)
    choice.failed(0, at: .seconds(1))
    #expect(choice.next(at: .milliseconds(2999), tried: [1, 2], using: &random) == nil)
    #expect(choice.next(at: .seconds(3), tried: [1, 2], using: &random) == 0)
    choice.succeeded(0)
    #expect(!choice.isEjected(0))
    #expect(choice.next(at: .seconds(3), tried: [1, 2], using: &random) == 0)
  }

  @Test func timesOutNoLongerThanTheMaximum() throws {
    var (choice, random) = (try choice(), SeededGenerator(seed: 1))
    for _ in 0..<100 { choice.failed(0, at: .zero) }
    #expect(choice.next(at: .milliseconds(3999), tried: [1, 2], using: &random) == nil)
    #expect(choice.next(at: .seconds(4), tried: [1, 2], using: &random) == 0)
  }

  @Test func aBudgetBoundsFurtherTries() {
    var policy = CadastreClient.RetryPolicy()
    (policy.budget, policy.budgetPerSuccess) = (3, 0.5)
    var budget = RetryBudget(policy)
    #expect((0..<5).map { _ in budget.spend() } == [true, true, true, false, false])
    budget.earn()
    let tooSoon = budget.spend()
    budget.earn()
    let inTime = budget.spend()
    #expect(!tooSoon && inTime)
    for _ in 0..<100 { budget.earn() }
    #expect(budget.tokens == 3)
  }

  @Test func knowsWhatAnotherNodeMayDo() {
    #expect(FailureKind(NodeError(.unavailable, "refused")) == .broken)
    #expect(FailureKind(NodeError(.deadlineExceeded, "slow")) == .broken)
    #expect(FailureKind(NodeError(.unavailable, reason: "behind", "")) == .elsewhere)
    #expect(FailureKind(NodeError(.resourceExhausted, reason: "overloaded", "")) == .elsewhere)
    // Without a connection it does not matter who says why.
    let untrusted = NodeError(.unavailable, reason: "certificate_not_trusted", "")
    #expect(FailureKind(untrusted) == .broken)
    #expect(FailureKind(NodeError(.unauthenticated, reason: "token_expired", "")) == .denied)
    #expect(FailureKind(NodeError(.permissionDenied, reason: "role_missing", "")) == .denied)
    #expect(CatalogClientError(NodeError(.unauthenticated, reason: "x", "")).kind == .denied)
    #expect(FailureKind(NodeError(.aborted, reason: "stale_version", "")) == .final)
    #expect(CatalogClientError(NodeError(.aborted, reason: "x", "")).kind == .staleVersion)
  }
}

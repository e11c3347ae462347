import Catalog
import Testing

@testable import Node

@Suite struct FreshnessTests {
  private func at(_ seconds: Int) -> Moment { Moment(sinceStart: .seconds(seconds)) }

  @Test func aLeaderIsNeverStale() {
    #expect(Freshness(isLeader: true).staleness(at: at(100)) == .zero)
  }

  @Test func aLearnerIsAsOldAsItsLastAnsweredQuestion() {
    let freshness = Freshness(isLeader: false)
    #expect(freshness.staleness(at: at(0)) == nil)
    let probe = freshness.probe(at: at(10))
    // The answer was under way for five seconds: it tells of the time when it was asked for.
    freshness.heard(
      position: LogPosition(3), version: CatalogVersion(3), answering: probe, staleness: .zero,
      stored: LogPosition(3))
    #expect(freshness.staleness(at: at(15)) == .seconds(5))
    #expect(freshness.staleness(at: at(60)) == .seconds(50))
  }

  @Test func anAnswerCountsOnceAllThatItTellsOfIsStored() {
    let freshness = Freshness(isLeader: false)
    let first = freshness.probe(at: at(1))
    freshness.heard(
      position: LogPosition(5), version: CatalogVersion(5), answering: first, staleness: .zero,
      stored: LogPosition(4))
    #expect(freshness.staleness(at: at(2)) == nil)
    let second = freshness.probe(at: at(3))
    freshness.heard(
      position: LogPosition(9), version: CatalogVersion(9), answering: second, staleness: .zero,
      stored: LogPosition(4))
    freshness.stored(LogPosition(8))
    #expect(freshness.staleness(at: at(4)) == .seconds(3))
    freshness.stored(LogPosition(9))
    #expect(freshness.staleness(at: at(4)) == .seconds(1))
    #expect(freshness.leader.position == LogPosition(9))
  }

  @Test func wordsWithoutAnAnswerTellNothingOfTheTime() {
    let freshness = Freshness(isLeader: false)
    freshness.heard(
      position: .zero, version: .zero, answering: 0, staleness: .zero, stored: .zero)
    #expect(freshness.staleness(at: at(1)) == nil)
    let probe = freshness.probe(at: at(1))
    freshness.disconnected()
    freshness.heard(
      position: .zero, version: .zero, answering: probe, staleness: .zero, stored: .zero)
    #expect(freshness.staleness(at: at(2)) == nil)
  }

  @Test func aStandInAddsItsOwnStaleness() {
    let freshness = Freshness(isLeader: false)
    let first = freshness.probe(at: at(10))
    freshness.heard(
      position: .zero, version: .zero, answering: first, staleness: nil, stored: .zero)
    #expect(freshness.staleness(at: at(10)) == nil)
    let second = freshness.probe(at: at(20))
    freshness.heard(
      position: .zero, version: .zero, answering: second, staleness: .seconds(4), stored: .zero)
    #expect(freshness.staleness(at: at(21)) == .seconds(5))
  }

  @Test func aLateAnswerDoesNotMakeItOlder() {
    let freshness = Freshness(isLeader: false)
    let first = freshness.probe(at: at(1))
    let second = freshness.probe(at: at(2))
    freshness.heard(
      position: .zero, version: .zero, answering: second, staleness: .zero, stored: .zero)
    freshness.heard(
      position: .zero, version: .zero, answering: first, staleness: .zero, stored: .zero)
    #expect(freshness.staleness(at: at(2)) == .zero)
  }

  @Test func aRefusalComesBeforeTheCallersDeadline() {
    var limits = NodeLimits()
    limits.patience = .seconds(2)
    #expect(limits.wait(within: nil) == .seconds(2))
    #expect(limits.wait(within: .seconds(30)) == .seconds(2))
    #expect(limits.wait(within: .seconds(1)) == .milliseconds(750))
    #expect(limits.wait(within: .zero) == .zero)
    limits.patience = .seconds(60)
    #expect(limits.wait(within: .seconds(20)) == .seconds(19))
  }
}

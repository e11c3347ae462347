import Catalog
import Testing

@testable import Replay

@Suite struct TailChoiceTests {
  private static let options: TailChoice.Options = {
    var options = TailChoice.Options()
    options.behindLimit = .seconds(2)
    options.firstPause = .seconds(1)
    options.maximumPause = .seconds(3)
    return options
  }()

  private let peers = ["a", "b"]

  @Test func aPeerThatIsLostRestsLongerEachTimeUntilItBringsSomething() {
    var choice = TailChoice(options: Self.options)
    #expect(choice.source(among: [], at: .zero) == .stream)
    #expect(choice.source(among: peers, at: .zero) == .peer("a"))
    choice.lost("a", at: .zero)
    #expect(choice.source(among: peers, at: .zero) == .peer("b"))
    choice.lost("b", at: .milliseconds(500))
    #expect(choice.source(among: peers, at: .milliseconds(500)) == .stream)
    #expect(choice.nextTry(among: peers, after: .milliseconds(500)) == .seconds(1))
    #expect(choice.source(among: peers, at: .seconds(1)) == .peer("a"))
    choice.lost("a", at: .seconds(1))
    #expect(choice.source(among: ["a"], at: .milliseconds(2_900)) == .stream)
    #expect(choice.source(among: ["a"], at: .seconds(3)) == .peer("a"))
    choice.lost("a", at: .seconds(3))
    #expect(choice.nextTry(among: ["a"], after: .seconds(3)) == .seconds(6))
    choice.brought(by: "a")
    choice.lost("a", at: .seconds(6))
    #expect(choice.nextTry(among: ["a"], after: .seconds(6)) == .seconds(7))
  }

  @Test func onlyTheStreamCountsForWhoIsToLead() {
    var choice = TailChoice(options: Self.options)
    choice.isStreamOnly = true
    #expect(choice.source(among: peers, at: .zero) == .stream)
    #expect(choice.nextTry(among: peers, after: .zero) == nil)
    choice.isStreamOnly = false
    #expect(choice.source(among: peers, at: .zero) == .peer("a"))
  }

  @Test func oneIsBehindThatDoesNotBringWhatTheStreamHasHadForLong() {
    var choice = TailChoice(options: Self.options)
    func isBehind(_ end: UInt64, _ stored: UInt64, _ at: Duration) -> Bool {
      choice.isBehind(LogPosition(end), stored: LogPosition(stored), at: at)
    }
    #expect(!isBehind(5, 5, .seconds(0)))
    #expect(!isBehind(6, 5, .seconds(10)))
    #expect(!isBehind(9, 5, .seconds(11)))
    // It brought what was lacking; what is lacking now is new.
    #expect(!isBehind(12, 8, .seconds(12)))
    #expect(!isBehind(12, 11, .milliseconds(13_900)))
    #expect(isBehind(20, 11, .seconds(14)))
  }
}

import Catalog
import TestSupport
import Testing

@testable import Replay

@Suite struct CommandIndexTests {
  /// Against a dictionary, over several times the window.
  @Test(arguments: testSeeds(count: 20))
  func knowsWhatADictionaryKnows(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let window = UInt64.random(in: 1...300, using: &generator)
    var index = CommandIndex(window: window)
    var twin: [CommandID: [UInt64]] = [:]
    var last: UInt64 = 0
    for _ in 0..<2_000 {
      // Now and then an id comes again.
      let id = commandID(UInt64.random(in: 0..<5_000, using: &generator))
      last += UInt64.random(in: 1...2, using: &generator)
      index.insert(id, at: LogPosition(last))
      twin[id, default: []].append(last)
      let asked = commandID(UInt64.random(in: 0..<5_000, using: &generator))
      let expected = (twin[asked] ?? []).filter { $0 + window > last }.reversed()
      #expect(
        index.positions(of: asked, last: LogPosition(last)).map(\.rawValue) == Array(expected),
        "seed \(seed)")
    }
    #expect(index.count <= 1_200, "what is forgotten gives its room back; seed \(seed)")
  }

  @Test func manyCommandsAreFound() {
    var index = CommandIndex(window: 1_000_000)
    for number in UInt64(1)...20_000 { index.insert(commandID(number), at: LogPosition(number)) }
    for number in UInt64(1)...20_000 {
      #expect(
        index.positions(of: commandID(number), last: LogPosition(20_000)) == [LogPosition(number)])
    }
    #expect(index.positions(of: commandID(20_001), last: LogPosition(20_000)).isEmpty)
  }
}

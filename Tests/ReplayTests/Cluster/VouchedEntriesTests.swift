import Catalog
import Testing

@testable import Replay

@Suite struct VouchedEntriesTests {
  private func tail(_ encoded: EncodedEntry) -> LogTail {
    LogTail(
      position: encoded.entry.position, hash: encoded.hash, version: encoded.entry.version)
  }

  private func stored(_ step: VouchedEntries.Step) -> [EncodedEntry]? {
    if case .store(let entries) = step { entries } else { nil }
  }

  private func isAsk(_ step: VouchedEntries.Step) -> Bool {
    if case .ask = step { true } else { false }
  }

  private func isWait(_ step: VouchedEntries.Step) -> Bool {
    if case .wait = step { true } else { false }
  }

  @Test func nothingIsStoredBeforeTheStreamNamesIt() throws {
    let (entries, _) = try makeEntries(6)
    var vouched = VouchedEntries()
    #expect(isWait(try vouched.next()))
    try vouched.add(Array(entries[..<3]))
    #expect(isAsk(try vouched.next()))
    // The stream is further than the peer: what waits has its proof when that has come, too.
    try vouched.heard(tail(entries[3]))
    #expect(isWait(try vouched.next()))
    try vouched.add(Array(entries[3...]))
    #expect(stored(try vouched.next()) == Array(entries[..<4]))
    #expect(isAsk(try vouched.next()))
    try vouched.heard(tail(entries[5]))
    #expect(stored(try vouched.next()) == Array(entries[4...]))
    #expect(isWait(try vouched.next()))
  }

  @Test func aHistoryThatIsNotTheStreamsIsRefused() throws {
    let (entries, _) = try makeEntries(3)
    var forged = entries[1].entry
    forged.actor = "tesu"
    let (other, end) = (try EncodedEntry(forged), tail(entries[1]))
    var vouched = VouchedEntries()
    try vouched.add([entries[0], other])
    try vouched.heard(end)
    #expect(throws: PeerFailure.otherHistory(LogPosition(2))) { try vouched.next() }
    // What does not follow is not taken either, though the stream has it.
    var broken = VouchedEntries()
    #expect(throws: PeerFailure.brokenChain(LogPosition(3))) {
      try broken.add([entries[0], other, entries[2]])
    }
    var gap = VouchedEntries()
    #expect(throws: PeerFailure.brokenChain(LogPosition(3))) {
      try gap.add([entries[0], entries[2]])
    }
    // Nor what the stream does not have.
    var longer = VouchedEntries()
    try longer.add(entries)
    #expect(throws: PeerFailure.notInStream(LogPosition(3))) { try longer.heard(end) }
  }

  @Test func whoLacksMuchAsksTheStream() throws {
    let (entries, _) = try makeEntries(6)
    let limit = entries[..<4].reduce(0) { $0 + $1.bytes.count }
    var vouched = VouchedEntries(byteLimit: limit)
    try vouched.add(Array(entries[..<4]))
    try vouched.heard(tail(entries[5]))
    #expect(isWait(try vouched.next()))
    #expect(throws: PeerFailure.farBehind) { try vouched.add([entries[4]]) }
    // What the stream has vouched for already does not wait.
    var near = VouchedEntries(byteLimit: limit)
    try near.heard(tail(entries[4]))
    try near.add(Array(entries[..<5]))
    #expect(stored(try near.next()) == Array(entries[..<5]))
  }
}

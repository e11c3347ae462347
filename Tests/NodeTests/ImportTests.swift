import Catalog
import Foundation
import TestSupport
import Testing

@testable import Node

@Suite struct ImportTests {
  /// Writes `bytes` to a file that is gone after `body`.
  private func withFile<Result>(
    _ bytes: some Sequence<UInt8>, _ body: (String) throws -> Result
  ) throws -> Result {
    let url = FileManager.default.temporaryDirectory
      .appendingPathComponent("cadastre-keys-\(UUID().uuidString)")
    try Data(bytes).write(to: url)
    defer { try? FileManager.default.removeItem(at: url) }
    return try body(url.path)
  }

  private func read(_ bytes: some Sequence<UInt8>, escaped: Bool = false) throws -> KeyList {
    try withFile(bytes) { try KeyFileReader.read(path: $0, escaped: escaped).keys }
  }

  private func texts(_ list: KeyList) -> [String] {
    (0..<list.count).map { list.key(at: $0).description }
  }

  @Test func readsKeysAndOwners() throws {
    let list = try read("a\tone\nb\tone\n\nc\ttwo\td\ne".utf8)
    #expect(texts(list) == ["a", "b", "c", "e"])
    #expect(
      (0..<4).map { String(decoding: list.owner(at: $0), as: UTF8.self) } == [
        "one", "one", "two\td", "",
      ])
  }

  @Test func bytesThatAreNotTextAreKeys() throws {
    let list = try read([0xFF, 0x00, 0x5C, 0x0A, 0x61])
    #expect(list.key(at: 0).bytes == [0xFF, 0x00, 0x5C])
  }

  @Test func escapesWhereAskedFor() throws {
    #expect(try read(#"a\x00b"#.utf8, escaped: true).key(at: 0).bytes == [0x61, 0, 0x62])
    let problem = try #require(throws: Problem.self) {
      try read(#"a\#nb\z"#.utf8, escaped: true)
    }
    #expect(problem.status == .usage)
    #expect(problem.message.contains("line 2"))
    #expect(throws: Problem.self) { try read([0xFF], escaped: true) }
  }

  @Test func sortsAndDropsRepeats() throws {
    var list = try read("b\t1\na\t2\nb\t3\nab\t4\na\t5".utf8)
    let tidying = list.tidy()
    #expect(tidying == .init(sorted: true, duplicates: 2))
    #expect(texts(list) == ["a", "ab", "b"])
    #expect(
      (0..<3).map { list.owner(at: $0) } == [Array("2".utf8), Array("4".utf8), Array("1".utf8)])

    var sorted = try read("a\nb\nb\nc".utf8)
    #expect(sorted.tidy() == .init(sorted: false, duplicates: 1))
    #expect(texts(sorted) == ["a", "b", "c"])
  }

  @Test func tooLongKeysAndLinesNameTheLine() throws {
    let limit = try read(Array(repeating: 0x61, count: Key.maximumLength))
    #expect(limit.key(at: 0).bytes.count == Key.maximumLength)
    let long = try #require(throws: Problem.self) {
      try read(Array("a\n".utf8) + Array(repeating: 0x62, count: Key.maximumLength + 1))
    }
    #expect(long.status == .usage && long.message.contains("line 2"))
    let endless = try #require(throws: Problem.self) {
      try read(Array("a\nb\n".utf8) + Array(repeating: 0x62, count: 3 << 20))
    }
    #expect(endless.status == .usage && endless.message.contains("line 3"))
  }

  @Test func readsCompressedFilesAndRefusesBrokenOnes() throws {
    let path = FileManager.default.temporaryDirectory
      .appendingPathComponent("cadastre-keys-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let gzip = try ChildProcess(
      URL(filePath: "/bin/sh"), ["-c", "seq -w 1 20000 | gzip -c > '\(path)'"]
    ).wait()
    try #require(gzip.status == 0, "\(gzip.errors)")
    let list = try KeyFileReader.read(path: path, escaped: false).keys
    #expect(list.count == 20_000)
    #expect(list.key(at: 19_999).description == "20000")

    let whole = try Data(contentsOf: URL(fileURLWithPath: path))
    let problem = try #require(throws: Problem.self) { try read(whole.prefix(whole.count / 2)) }
    #expect(problem.status == .usage && problem.message.contains("not whole"))
    #expect(throws: Problem.self) { try read([0x1F, 0x8B]) }
  }

  @Test func missingFilesAndFoldersAreSaid() throws {
    let missing = try #require(throws: Problem.self) {
      try KeyFileReader.read(path: "/nonexistent/keys", escaped: false)
    }
    #expect(missing.status == .notFound)
    let folder = try #require(throws: Problem.self) {
      try KeyFileReader.read(path: "/tmp", escaped: false)
    }
    #expect(folder.message.contains("folder"))
  }

  @Test(arguments: [false, true]) func readsAPipe(compressed: Bool) throws {
    let folder = TemporaryFolder()
    try FileManager.default.createDirectory(
      atPath: folder.path, withIntermediateDirectories: true)
    let pipe = folder.appending("pipe")
    try #require(mkfifo(pipe, 0o600) == 0)
    let shell = try ChildProcess(
      URL(filePath: "/bin/sh"),
      ["-c", "seq -w 1 20000" + (compressed ? " | gzip -c" : "") + " > '\(pipe)'"])
    let list = try KeyFileReader.read(path: pipe, escaped: false).keys
    #expect(shell.wait().status == 0)
    #expect(list.count == 20_000)
    #expect(list.key(at: 0).description == "00001")
    #expect(list.key(at: 19_999).description == "20000")
  }

  @Test(arguments: ["", "a", "\n", "a\n", "\na", "a\nb"]) func filesOfAFewBytes(text: String) throws
  {
    #expect(try texts(read(text.utf8)) == text.split(separator: "\n").map(String.init))
  }

  @Test func repeatsTakeNoRoomAndAreCounted() throws {
    let bytes = Array(String(repeating: "a\tx\n", count: 1000).utf8) + Array("b\na\n".utf8)
    var limits = KeyFileReader.Limits()
    limits.keyCount = 3
    let reader = try withFile(bytes) {
      try KeyFileReader.read(path: $0, escaped: false, dropsRepeats: true, limits: limits)
    }
    var list = reader.keys
    #expect(texts(list) == ["a", "b", "a"])
    #expect(list.tidy() == .init(sorted: true, duplicates: 1000))
    #expect(texts(list) == ["a", "b"])
  }

  @Test func tooMuchToHoldIsRefused() throws {
    var limits = KeyFileReader.Limits()
    (limits.keyCount, limits.byteCount) = (3, 10)
    for (text, line) in [("a\nb\nc\nd\ne", "line 4"), ("abc\td\nefg\thij\nk", "line 3")] {
      let problem = try #require(throws: Problem.self) {
        try withFile(text.utf8) {
          try KeyFileReader.read(path: $0, escaped: false, limits: limits)
        }
      }
      #expect(problem.status == .usage && problem.code == "bad-input")
      #expect(problem.message.contains("more than 3 keys or 10 bytes"))
      #expect(problem.message.contains(line))
    }
  }

  @Test func readingEndsWhereAsked() {
    #expect(throws: CancellationError.self) {
      try withFile("a\nb\n".utf8) {
        _ = try KeyFileReader.read(path: $0, escaped: false) { _ in throw CancellationError() }
      }
    }
  }

  @Test func cutsARouteAtEveryNthKey() throws {
    let list = try read("a\tx\nb\tx\nc\ty\nd\ty\ne\tb\n".utf8)
    let cut = CatalogCut(of: list, every: 2, grouping: .byOwner)
    #expect(cut.starts.map(\.description) == ["", "c", "e"])
    // Numbered in the order of the names: b, x, y.
    #expect(cut.groups == [GroupID(2), GroupID(3), GroupID(1)])
    #expect(cut.groupCount == 3)

    let turns = CatalogCut(of: list, every: 1, grouping: .roundRobin(2))
    #expect(turns.starts.map(\.description) == ["", "b", "c", "d", "e"])
    #expect(turns.groups == [1, 2, 1, 2, 1].map(GroupID.init))

    let one = CatalogCut(of: list, every: 100, grouping: .byOwner)
    #expect(one.starts == [.least])
  }
}

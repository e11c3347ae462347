import Foundation
import TestSupport
import Testing

/// The transcripts in `fixtures/stories`. `CADASTRE_REGENERATE=1` writes what happens into them;
/// read the difference before committing it.
@Suite struct StoryTests {
  static let folder = fixturesFolder.appending(path: "stories")

  static let names: [String] = {
    let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path)
    return (names ?? []).filter { $0.hasSuffix(".txt") }.sorted()
  }()

  @Test(arguments: names)
  func happensAsItIsTold(name: String) throws {
    let url = Self.folder.appending(path: name)
    let told = try String(contentsOf: url, encoding: .utf8)
    var story = Story()
    let happened = try story.happen(told)
    #expect(try golden(happened, at: url) == happened)
  }

  @Test func thereAreStories() {
    #expect(Self.names.count >= 5)
  }
}

import Catalog
import Foundation

/// Files of hexadecimal: entries parted by empty lines, `#` and what follows it passed over.
package enum HexFile {
  package static func text(of entries: [[UInt8]]) -> String {
    let paragraphs = entries.map { entry in
      stride(from: 0, to: entry.count, by: 32).map { start in
        hexadecimal(entry[start..<min(start + 32, entry.count)]) + "\n"
      }.joined()
    }
    return paragraphs.joined(separator: "\n")
  }

  /// Reads what ``text(of:)`` writes; nil when it is not of that form.
  package static func entries(in text: String) -> [[UInt8]]? {
    var entries: [[UInt8]] = []
    var isInEntry = false
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      let code = line.prefix { $0 != "#" }.filter { $0 != " " }
      guard !code.isEmpty else {
        if line.isEmpty { isInEntry = false }
        continue
      }
      guard let bytes = bytes(hexadecimal: code) else { return nil }
      if !isInEntry { entries.append([]) }
      isInEntry = true
      entries[entries.count - 1] += bytes
    }
    return entries
  }
}

/// Compares `text` with the file at `url`, or writes it there when the fixtures are made anew.
///
/// - Returns: What the file says; `text` itself when it was just written.
package func golden(_ text: String, at url: URL) throws -> String {
  if regeneratesFixtures {
    try FileManager.default.createDirectory(
      at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try text.write(to: url, atomically: true, encoding: .utf8)
  }
  return try String(contentsOf: url, encoding: .utf8)
}

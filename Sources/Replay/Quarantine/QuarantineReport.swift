import Catalog

/// The file that keeps a poison entry for those who look into it: what it is, why it was refused,
/// and its bytes. `FORMAT.md` describes it.
struct QuarantineReport {
  /// Where a folder's reports are.
  static let folderName = "quarantine"
  private static let bytesPerLine = 32
  /// Of a longer entry this many bytes are kept.
  private static let maximumByteCount = 16 << 20

  var poison: PoisonEntry
  var bytes: [UInt8]

  /// The report, a line for each field, then the bytes in hexadecimal.
  var text: String {
    var text = """
      # An entry that is whole and continues the chain, and cannot be applied.
      position \(poison.position)
      hash \(poison.hash)
      version \(poison.version)
      time \(poison.time.rawValue)
      command \(poison.command)
      actor \(QuarantineReport.line(poison.actor))
      reason \(QuarantineReport.line(poison.reason))
      problem \(QuarantineReport.line(poison.problem))
      bytes \(bytes.count)

      """
    let kept = bytes.prefix(Self.maximumByteCount)
    for start in stride(from: 0, to: kept.count, by: Self.bytesPerLine) {
      text += hexadecimal(kept[start..<min(start + Self.bytesPerLine, kept.count)]) + "\n"
    }
    return text
  }

  /// Writes the report, in the place of an earlier one about the same position, and returns its path.
  /// Whole or not at all.
  func write(in folder: String) throws(StoreError) -> String {
    let place = folder + "/" + Self.folderName
    try Folder.make(place)
    let path = place + "/entry-\(poison.position).txt"
    try Folder.write(Array(text.utf8), to: path)
    return path
  }

  /// Texts of entries may have any characters: line breaks would forge fields.
  private static func line(_ text: String) -> String {
    String(
      text.unicodeScalars.map { scalar in
        scalar.properties.generalCategory == .control ? " " : Character(scalar)
      })
  }
}

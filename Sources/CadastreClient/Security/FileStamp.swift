import Foundation

/// What tells one state of a file from another without reading it.
struct FileStamp: Equatable, Sendable {
  private let device: Int?
  private let number: Int?
  private let byteCount: Int?
  private let changedAt: Date?

  /// Follows links, as reading does. Nil where there is no file.
  init?(_ path: String) {
    let path = URL(filePath: path).resolvingSymlinksInPath().path(percentEncoded: false)
    guard let attributes = try? FileManager.default.attributesOfItem(atPath: path) else {
      return nil
    }
    device = Self.number(attributes[.systemNumber])
    number = Self.number(attributes[.systemFileNumber])
    byteCount = Self.number(attributes[.size])
    changedAt = attributes[.modificationDate] as? Date
  }

  private static func number(_ attribute: Any?) -> Int? {
    (attribute as? any BinaryInteger).map { Int(truncatingIfNeeded: $0) }
      ?? (attribute as? NSNumber)?.intValue
  }
}

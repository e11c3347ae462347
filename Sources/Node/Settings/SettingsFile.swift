import Foundation

/// A file of settings: one JSON object, where comments and trailing commas are allowed (JSON5).
struct SettingsFile: Sendable {
  /// What a key has.
  enum Value: Decodable, Equatable, Sendable {
    case text(String)
    case list([String])
    /// An object, null, or a list of anything but texts and numbers.
    case other

    init(from decoder: any Decoder) throws {
      if let text = try? Scalar(from: decoder).text {
        self = .text(text)
      } else if let list = try? decoder.singleValueContainer().decode([Scalar].self) {
        self = .list(list.map(\.text))
      } else {
        self = .other
      }
    }

    /// The text as an argument has it; nil where there is none.
    var argument: String? {
      switch self {
      case .text(let text): text
      case .list(let list): list.joined(separator: ",")
      case .other: nil
      }
    }
  }

  private struct Scalar: Decodable {
    var text: String

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let truth = try? container.decode(Bool.self) {
        text = "\(truth)"
      } else if let number = try? container.decode(Int64.self) {
        text = "\(number)"
      } else if let number = try? container.decode(Double.self) {
        text = "\(number)"
      } else {
        text = try container.decode(String.self)
      }
    }
  }

  let path: String
  /// By key, in the order of the keys.
  let values: [(key: String, value: Value)]

  /// - Throws: ``Problem`` when the file cannot be read, or is no JSON object.
  init(path: String) throws(Problem) {
    let data: Data
    do {
      data = try Data(contentsOf: URL(filePath: path))
    } catch {
      throw Problem(
        .notFound, code: "no-config", "\(path) cannot be read: \(Problem.reason(of: error))",
        help: "name a file with --\(ServeSettings.fileFlag); `cadastre config example` writes one")
    }
    let decoder = JSONDecoder()
    decoder.allowsJSON5 = true
    do {
      values = try decoder.decode([String: Value].self, from: data)
        .sorted { $0.key < $1.key }.map { (key: $0.key, value: $0.value) }
    } catch {
      throw Problem(
        .usage, code: "malformed-config", "\(path) is no JSON object: \(Self.reason(of: error))",
        help: "`cadastre config example` shows what a file looks like")
    }
    self.path = path
  }

  private static func reason(of error: any Error) -> String {
    guard case DecodingError.dataCorrupted(let context) = error else {
      return "it has something else at the top"
    }
    guard let cause = context.underlyingError as? CocoaError,
      let text = cause.userInfo["NSDebugDescription"] as? String
    else { return context.debugDescription }
    return text
  }
}

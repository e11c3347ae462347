import CadastreClient

/// Something that `cadastre serve` can be told: by a flag, by a variable of the environment or by a
/// line of a file, in this order of precedence.
struct Setting: Sendable {
  /// What a value looks like.
  enum Shape: Sendable {
    /// Throws what is wrong with a text.
    case value(@Sendable (String) throws -> Void)
    /// Texts with commas between; a list in a file.
    case list(@Sendable (String) throws -> Void)
    /// On or off.
    case flag
  }

  /// Where it may be said.
  enum Place: Sendable {
    case anywhere
    /// What is done once, or belongs to one call, has no place in a file.
    case commandLine
  }

  /// The flag without its hyphens, and the key in a file.
  var name: String
  var shape: Shape
  /// What it is for, as a sentence.
  var about: String
  /// What counts where nothing is said; nil: nothing.
  var fallback: String?
  /// A value as one would write it in a file.
  var example: String
  /// Whether its value is shown to nobody.
  var isSecret = false
  var place = Place.anywhere

  /// The environment variable.
  var variable: String {
    "CADASTRE_" + name.uppercased().replacing("-", with: "_")
  }

  /// Why a text is no value of this setting; nil when it is one.
  func problem(with text: String) -> String? {
    do {
      switch shape {
      case .value(let read), .list(let read): try read(text)
      case .flag:
        if Self.truth(text) == nil { return "give true or false" }
      }
      return nil
    } catch {
      return "\(error)"
    }
  }

  /// Reads a flag's text; nil where it is none.
  static func truth(_ text: String) -> Bool? {
    switch text.lowercased() {
    case "true", "yes", "on", "1": true
    case "false", "no", "off", "0": false
    default: nil
    }
  }
}

extension Setting {
  /// A setting whose text `read` makes a value of.
  static func value<Value>(
    _ name: String, _ read: @escaping @Sendable (String) throws -> Value, default fallback: String?,
    example: String, _ about: String
  ) -> Setting {
    Setting(
      name: name, shape: .value { _ = try read($0) }, about: about, fallback: fallback,
      example: "\"\(example)\"")
  }

  /// A setting that is a number, within bounds.
  static func number(
    _ name: String, in range: ClosedRange<UInt64>, default fallback: UInt64, _ about: String
  ) -> Setting {
    let read: @Sendable (String) throws -> Void = { text in
      guard let number = UInt64(text), range.contains(number) else {
        throw MalformedMessage(
          "give a number from \(range.lowerBound) to \(range.upperBound)")
      }
    }
    return Setting(
      name: name, shape: .value(read), about: about, fallback: "\(fallback)",
      example: "\(fallback)")
  }

  /// A setting that is several things.
  static func list<Value>(
    _ name: String, _ read: @escaping @Sendable (String) throws -> Value, example: [String],
    _ about: String
  ) -> Setting {
    Setting(
      name: name, shape: .list { _ = try read($0) }, about: about, fallback: nil,
      example: "[\(example.map { "\"\($0)\"" }.joined(separator: ", "))]")
  }

  /// A setting that is on or off; off where nothing is said.
  static func flag(_ name: String, in place: Place = .anywhere, _ about: String) -> Setting {
    Setting(
      name: name, shape: .flag, about: about, fallback: "false", example: "true", place: place)
  }
}

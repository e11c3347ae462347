/// Writes metrics in the text format of Prometheus, version 0.0.4:
/// https://prometheus.io/docs/instrumenting/exposition_formats/
package struct MetricsText: Sendable {
  package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  package typealias Label = (name: String, value: String)

  /// What a family's samples are.
  package enum Kind: String, Sendable {
    case counter, gauge, histogram
  }

  /// What was written so far.
  package private(set) var text = ""
  private var family = ""

  package init() {}

  /// Begins a family: its samples come next.
  package mutating func begin(_ name: String, _ kind: Kind, _ help: String) {
    family = name
    text += "# HELP \(name) \(Self.escaped(help, quotes: false))\n"
    text += "# TYPE \(name) \(kind.rawValue)\n"
  }

  /// A sample of the family.
  package mutating func sample(_ value: Double, _ labels: Label...) {
    write(family, labels, Self.number(value))
  }

  /// A sample of the family.
  package mutating func sample(_ value: some BinaryInteger, _ labels: Label...) {
    write(family, labels, "\(value)")
  }

  /// The samples of a histogram.
  package mutating func sample(_ histogram: Histogram, _ labels: Label...) {
    let reading = histogram.reading
    for (index, count) in reading.cumulative.enumerated() {
      let bound =
        index < histogram.bounds.count
        ? Self.number(Double(histogram.bounds[index]) / histogram.scale) : "+Inf"
      write(family + "_bucket", labels + [("le", bound)], "\(count)")
    }
    write(family + "_sum", labels, Self.number(reading.sum))
    write(family + "_count", labels, "\(reading.count)")
  }

  /// A family of a single sample.
  package mutating func gauge(_ name: String, _ help: String, _ value: some BinaryInteger) {
    begin(name, .gauge, help)
    sample(value)
  }

  /// A family of a single sample.
  package mutating func gauge(_ name: String, _ help: String, _ value: Double) {
    begin(name, .gauge, help)
    sample(value)
  }

  /// A family of a single sample.
  package mutating func counter(_ name: String, _ help: String, _ value: some BinaryInteger) {
    begin(name, .counter, help)
    sample(value)
  }

  private mutating func write(_ name: String, _ labels: [Label], _ value: String) {
    text += name
    if !labels.isEmpty {
      let pairs = labels.map { "\($0.name)=\"\(Self.escaped($0.value, quotes: true))\"" }
      text += "{\(pairs.joined(separator: ","))}"
    }
    text += " \(value)\n"
  }

  private static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    return "\(value)"
  }

  private static func escaped(_ text: String, quotes: Bool) -> String {
    var made = ""
    for character in text.unicodeScalars {
      switch character {
      case "\\": made += "\\\\"
      case "\n": made += "\\n"
      case "\"" where quotes: made += "\\\""
      default: made.unicodeScalars.append(character)
      }
    }
    return made
  }
}

/// Metrics in Prometheus' text format, read strictly: whatever the format or its conventions do not
/// allow is an error. https://prometheus.io/docs/instrumenting/exposition_formats/
struct PrometheusText {
  struct Sample: Hashable {
    var name: String
    var labels: [String: String]
    var value: Double
  }

  struct Family {
    var name: String
    var kind: String
    var help: String
    var samples: [Sample] = []
  }

  struct Malformed: Error, Equatable {
    var line: Int
    var problem: String
  }

  private(set) var families: [Family] = []

  init(_ text: String) throws {
    guard text.last == "\n" else { throw Malformed(line: 0, problem: "the last line has no end") }
    var help: (name: String, text: String)?
    var series: Set<[String]> = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
      .enumerated()
    {
      func fail(_ problem: String) -> Malformed { Malformed(line: index + 1, problem: problem) }
      if line.hasPrefix("# HELP ") {
        let parts = line.dropFirst(7).split(separator: " ", maxSplits: 1)
        guard parts.count == 2, help == nil else { throw fail("a HELP out of place") }
        help = (String(parts[0]), String(parts[1]))
      } else if line.hasPrefix("# TYPE ") {
        let parts = line.dropFirst(7).split(separator: " ").map(String.init)
        guard parts.count == 2, let known = help, known.name == parts[0] else {
          throw fail("a TYPE without its HELP")
        }
        guard Self.isName(parts[0], colons: true) else { throw fail("no name: \(parts[0])") }
        guard ["counter", "gauge", "histogram"].contains(parts[1]) else {
          throw fail("no kind: \(parts[1])")
        }
        guard !families.contains(where: { $0.name == parts[0] }) else { throw fail("twice") }
        guard (parts[1] == "counter") == parts[0].hasSuffix("_total") else {
          throw fail("counters end in _total, and nothing else does: \(parts[0])")
        }
        families.append(Family(name: parts[0], kind: parts[1], help: known.text))
        help = nil
      } else {
        guard help == nil, var family = families.popLast() else { throw fail("no family") }
        guard let sample = Self.sample(line) else { throw fail("no sample: \(line)") }
        let suffixes = family.kind == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
        guard suffixes.contains(where: { sample.name == family.name + $0 }) else {
          throw fail("\(sample.name) is not of \(family.name)")
        }
        guard
          series.insert(
            [sample.name] + sample.labels.sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value] }
          ).inserted
        else { throw fail("a series twice") }
        guard family.kind == "gauge" || sample.value >= 0 else { throw fail("below zero") }
        family.samples.append(sample)
        families.append(family)
      }
    }
    guard help == nil else { throw Malformed(line: 0, problem: "a HELP at the end") }
    for family in families where family.kind == "histogram" { try Self.check(family) }
  }

  /// The value of the sample with exactly these labels; nil when there is none.
  func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
    families.flatMap(\.samples).first { $0.name == name && $0.labels == labels }?.value
  }

  /// The buckets of each series ascend, and the last one has everything.
  private static func check(_ family: Family) throws {
    var series: [[String: String]: [(bound: Double, count: Double)]] = [:]
    for sample in family.samples where sample.name.hasSuffix("_bucket") {
      var labels = sample.labels
      guard let bound = labels.removeValue(forKey: "le").flatMap(number) else {
        throw Malformed(line: 0, problem: "a bucket without a bound")
      }
      series[labels, default: []].append((bound, sample.value))
    }
    for (labels, buckets) in series {
      func value(_ suffix: String) -> Double? {
        family.samples.first { $0.name == family.name + suffix && $0.labels == labels }?.value
      }
      let pairs = zip(buckets, buckets.dropFirst())
      guard pairs.allSatisfy({ $0.bound < $1.bound && $0.count <= $1.count }),
        buckets.last?.bound == .infinity, buckets.last?.count == value("_count"),
        value("_sum") != nil
      else { throw Malformed(line: 0, problem: "the buckets of \(family.name) \(labels)") }
    }
    let counts = family.samples.filter { $0.name.hasSuffix("_count") }
    guard counts.count == series.count else {
      throw Malformed(line: 0, problem: "a histogram of \(family.name) without buckets")
    }
  }

  private static func sample(_ line: Substring) -> Sample? {
    var rest = line
    let name = rest.prefix { $0 != "{" && $0 != " " }
    rest = rest.dropFirst(name.count)
    var labels: [String: String] = [:]
    if rest.first == "{" {
      rest.removeFirst()
      while true {
        let label = rest.prefix { $0 != "=" }
        rest = rest.dropFirst(label.count)
        guard rest.hasPrefix("=\""), isName(String(label), colons: false) else { return nil }
        rest = rest.dropFirst(2)
        guard let value = quoted(&rest), labels.updateValue(value, forKey: String(label)) == nil
        else { return nil }
        if rest.first == "}" { break }
        guard rest.first == "," else { return nil }
        rest.removeFirst()
      }
      rest.removeFirst()
    }
    guard isName(String(name), colons: true), rest.first == " ",
      let value = number(rest.dropFirst())
    else { return nil }
    return Sample(name: String(name), labels: labels, value: value)
  }

  /// Reads up to the quote at the end, and takes that away too.
  private static func quoted(_ rest: inout Substring) -> String? {
    var value = ""
    while let next = rest.popFirst() {
      switch next {
      case "\"": return value
      case "\\":
        switch rest.popFirst() {
        case "\\": value.append("\\")
        case "\"": value.append("\"")
        case "n": value.append("\n")
        default: return nil
        }
      default: value.append(next)
      }
    }
    return nil
  }

  private static func number(_ text: some StringProtocol) -> Double? {
    switch text {
    case "+Inf": .infinity
    case "-Inf": -.infinity
    case "NaN": .nan
    default: text.contains(where: \.isLetter) && !text.contains("e") ? nil : Double(text)
    }
  }

  private static func isName(_ text: String, colons: Bool) -> Bool {
    guard let first = text.first, first.isLetter || first == "_" || colons && first == ":" else {
      return false
    }
    return text.allSatisfy {
      $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || colons && $0 == ":")
    }
  }
}

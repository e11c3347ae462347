import Synchronization

/// Tells on standard error how far long work has come: a bar on a terminal, drawn at most ten times
/// a second; elsewhere a line every few seconds, so that a job's log stays short.
package final class ProgressBar: Sendable {
  private struct State {
    var lastShown: Duration = .zero
    var isDrawn = false
  }

  private let label: String
  private let unit: String
  private let total: UInt64?
  private let stream: StandardStream
  private let start = ContinuousClock.now
  private let state = Mutex(State())

  /// - Parameters:
  ///   - label: What is being done, as "replaying".
  ///   - unit: What is counted, in the plural.
  ///   - total: How many there will be, where that is known.
  ///   - stream: Where to tell it.
  package init(
    _ label: String, unit: String, total: UInt64?, stream: StandardStream = .error
  ) {
    self.label = label
    self.unit = unit
    self.total = total
    self.stream = stream
  }

  /// Says that `done` are done. Cheap: most calls only read a clock.
  package func update(_ done: UInt64) {
    let elapsed = ContinuousClock.now - start
    state.withLock { state in
      let interval: Duration = stream.isTerminal ? .milliseconds(100) : .seconds(5)
      guard elapsed - state.lastShown >= interval else { return }
      state.lastShown = elapsed
      let line = Self.line(
        label: label, unit: unit, done: done, total: total, elapsed: elapsed,
        barWidth: stream.isTerminal ? 24 : 0)
      if stream.isTerminal {
        // Back to the start of the line, and erase what a longer one left.
        stream.write("\r" + line + "\u{1B}[K")
      } else {
        stream.write(line + "\n")
      }
      stream.flush()
      state.isDrawn = true
    }
  }

  /// Takes the bar off the terminal.
  package func finish() {
    state.withLock { state in
      guard state.isDrawn, stream.isTerminal else { return }
      stream.write("\r\u{1B}[K")
      stream.flush()
      state.isDrawn = false
    }
  }

  /// The line that tells people how far it is.
  static func line(
    label: String, unit: String, done: UInt64, total: UInt64?, elapsed: Duration, barWidth: Int
  ) -> String {
    let seconds = elapsed.inSeconds
    let rate = seconds > 0 ? Double(done) / seconds : 0
    guard let total, total > 0 else {
      return "\(label): \(grouped(done)) \(unit), \(shortened(rate))/s"
    }
    let share = min(1, Double(done) / Double(total))
    var line = label + " "
    if barWidth > 0 {
      let filled = Int(share * Double(barWidth))
      line += "[" + String(repeating: "#", count: filled)
      line += String(repeating: ".", count: barWidth - filled) + "] "
    }
    line += "\(Int(share * 100)) %, \(grouped(done)) of \(grouped(total)) \(unit)"
    if rate > 0 {
      line += ", \(shortened(rate))/s"
      let left = Double(total - min(done, total)) / rate
      if left >= 1 { line += ", \(Int(left.rounded(.up))) s left" }
    }
    return line
  }
}

extension Duration {
  /// The duration in seconds, for reports and rates.
  package var inSeconds: Double {
    Double(components.seconds) + Double(components.attoseconds) / 1e18
  }
}

/// A count with its thousands set off: `12,000`.
package func grouped(_ count: some BinaryInteger) -> String {
  let digits = String(count)
  var text = ""
  for (index, digit) in digits.enumerated() {
    if index > 0, (digits.count - index).isMultiple(of: 3), text.last != "-" { text += "," }
    text.append(digit)
  }
  return text
}

/// A rate with three digits that count: `716 k`, `1.24 M`.
package func shortened(_ rate: Double) -> String {
  switch rate {
  case ..<1_000: String(Int(rate.rounded()))
  case ..<10_000: "\((rate / 10).rounded() / 100) k"
  case ..<1_000_000: "\(Int((rate / 1_000).rounded())) k"
  case ..<1e15: "\((rate / 10_000).rounded() / 100) M"
  default: "many"
  }
}

import ArgumentParser
import Catalog
import Replay

/// Which version a question is about.
struct AsOfOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The version to look at, by number or by a time. Default: the newest.",
      valueName: "version|time"),
    transform: parseAsOf)
  var asOf: AsOf = .newest
}

/// How much of a long answer is wanted.
struct LimitOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Print at most so many.", valueName: "n"))
  var limit = 100

  @Flag(help: "Print them all, however many.")
  var all = false

  func validate() throws {
    if limit < 1 { throw ValidationError("--limit must be above 0; --all prints all") }
  }

  /// The most that are to be printed.
  var maximum: Int { all ? .max : limit }
}

/// Reads a version or a time.
@Sendable
func parseAsOf(_ text: String) throws -> AsOf {
  if text.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }), !text.isEmpty {
    return .version(try parseVersion(text))
  }
  // All entries of the millisecond count: listings show no finer times.
  return .time(HybridTimestamp(milliseconds: try parseMilliseconds(text), counter: .max))
}

/// Reads a time as the first moment that it means.
@Sendable
func parseTime(_ text: String) throws -> HybridTimestamp {
  HybridTimestamp(milliseconds: try parseMilliseconds(text))
}

/// Reads a span of the keyspace: its first key, and the first key past it where there is one.
func parseSpan(_ keys: [Key]) throws -> KeySpan {
  guard let lower = keys.first else { return .all }
  guard keys.count <= 2 else {
    throw ValidationError("a span has two keys: \(keys.count) were given")
  }
  do {
    return try KeySpan(lower, keys.count > 1 ? keys[1] : nil)
  } catch {
    throw ValidationError(error.description)
  }
}

/// Reads a time as RFC 3339 writes it, or a date alone: milliseconds since 1970. A space may stand for
/// the `T`; without an offset the time is UTC, as in all listings.
func parseMilliseconds(_ text: String) throws -> UInt64 {
  var scanner = TimeScanner(rest: Substring(text).utf8)
  guard let milliseconds = scanner.milliseconds() else {
    throw ValidationError(
      "give a version's number, a time such as 2026-08-01T12:00:00Z, or a date such as 2026-08-01")
  }
  return milliseconds
}

private struct TimeScanner {
  var rest: Substring.UTF8View

  /// The time that the text says from its first byte to its last; nil when it says none.
  mutating func milliseconds() -> UInt64? {
    guard let year = digits(4), take("-"), let month = digits(2), take("-"), let day = digits(2),
      (1...12).contains(month), (1...Self.dayCount(month, of: year)).contains(day)
    else { return nil }
    var seconds = Self.days(year, month, day) * 86_400
    var fraction = 0
    if !rest.isEmpty {
      guard take("T") || take("t") || take(" "), let hour = digits(2), take(":"),
        let minute = digits(2), hour < 24, minute < 60
      else { return nil }
      seconds += hour * 3600 + minute * 60
      if take(":") {
        // A leap second is the second before it.
        guard let second = digits(2), second <= 60 else { return nil }
        seconds += min(second, 59)
        if take(".") {
          guard let milliseconds = fractionDigits() else { return nil }
          fraction = milliseconds
        }
      }
      guard let offset = offset() else { return nil }
      seconds -= offset
    }
    guard rest.isEmpty, seconds >= 0 else { return nil }
    return UInt64(seconds) * 1000 + UInt64(fraction)
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard rest.first == UInt8(ascii: character) else { return false }
    rest.removeFirst()
    return true
  }

  private mutating func digits(_ count: Int) -> Int? {
    let text = rest.prefix(count)
    guard text.count == count, text.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 })
    else { return nil }
    rest.removeFirst(count)
    return text.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
  }

  /// Digits behind the point, of which the first three count.
  private mutating func fractionDigits() -> Int? {
    var (value, count) = (0, 0)
    while let digit = digits(1) {
      if count < 3 { value = value * 10 + digit }
      count += 1
    }
    guard count > 0 else { return nil }
    for _ in count..<max(3, count) { value *= 10 }
    return value
  }

  /// How many seconds ahead of UTC the time is.
  private mutating func offset() -> Int? {
    if rest.isEmpty || take("Z") || take("z") { return 0 }
    let sign = take("+") ? 1 : take("-") ? -1 : 0
    guard sign != 0, let hours = digits(2), take(":"), let minutes = digits(2), hours < 24,
      minutes < 60
    else { return nil }
    return sign * (hours * 3600 + minutes * 60)
  }

  private static func dayCount(_ month: Int, of year: Int) -> Int {
    let isLeap = year.isMultiple(of: 4) && (!year.isMultiple(of: 100) || year.isMultiple(of: 400))
    return switch month {
    case 2: isLeap ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// The days since 1970-01-01 in the Gregorian calendar. Years begin in March, so that the leap day
  /// comes last.
  private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
    let year = month <= 2 ? year - 1 : year
    let era = year / 400
    let yearOfEra = year - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }
}

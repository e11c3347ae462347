import CadastreClient
import CadastreProtocol
import Foundation
import GRPCCore
import Replay

extension Problem {
  /// Says what an error means for the person at the terminal.
  init(describing error: any Error) {
    switch error {
    case let problem as Problem: self = problem
    case let error as StoreError: self.init(error)
    case let error as NodeError: self.init(error)
    case let error as RPCError: self.init(NodeError(error))
    case is CancellationError:
      self.init(
        .interrupted, code: "interrupted", "stopped before it was done",
        help: "what was committed until then stays; run the command again to go on")
    default:
      self.init(.failed, code: "failed", Self.reason(of: error))
    }
  }

  /// What the system said, without what Foundation wraps around it.
  static func reason(of error: any Error) -> String {
    if let error = error as? POSIXError { return String(cString: strerror(error.code.rawValue)) }
    guard let error = error as? CocoaError else { return String(describing: error) }
    return error.underlying.map(reason) ?? error.localizedDescription
  }

  /// Takes over what the parser has to say about arguments: `Error: …`, the usage, and where the
  /// help is.
  init(usage text: String) {
    let lines = text.split(separator: "\n")
    var message = lines.first.map(String.init) ?? "the arguments are malformed"
    if message.hasPrefix("Error: ") { message.removeFirst("Error: ".count) }
    // The parser repeats the whole of an argument, and one may be thousands of bytes long.
    if message.count > 400 { message = message.prefix(200) + " … " + message.suffix(190) }
    let help = lines.last { $0.contains("--help") }.map { line in
      line.drop { $0 == " " }.replacing("See ", with: "see ")
        .replacing(" for more information.", with: "")
    }
    self.init(.usage, code: "usage", message, help: help.map { String($0) })
  }

  /// Says what a node refused, or why it cannot be reached. A command that the folder itself
  /// refuses takes this way too, so that both read the same.
  init(_ error: NodeError) {
    let reason = error.reason?.replacing("_", with: "-")
    let status: ExitStatus
    switch error.code {
    case .unavailable, .deadlineExceeded, .cancelled: status = .unavailable
    case .resourceExhausted where reason == nil || reason == "overloaded": status = .unavailable
    case .notFound, .outOfRange: status = .notFound
    case .failedPrecondition where reason == "not-bootstrapped": status = .notFound
    case .dataLoss: status = .damaged
    case .invalidArgument where reason == nil || ["malformed", "insecure-bind"].contains(reason):
      status = .usage
    case .invalidArgument, .failedPrecondition, .aborted, .alreadyExists, .resourceExhausted,
      .unauthenticated, .permissionDenied:
      status = .refused
    default: status = .failed
    }
    var (message, help) = Self.parts(of: error.description)
    if let remedy = error.detail?.remedy, !remedy.isEmpty {
      (message, help) = (error.description, remedy)
    }
    if reason == "not-bootstrapped" {
      help =
        "`cadastre init` makes one for all keys, `cadastre import` cuts them from a file of keys"
    }
    if status == .unavailable, reason == nil {
      message = error.description
      help = "check that a server runs there and can be reached; then run the command again"
    }
    self.init(
      status, code: reason ?? Self.name(of: error.code), message, help: help,
      details: error.detail.map(Self.details) ?? [])
  }

  /// Parts `what is wrong: what to do about it`; a colon within quotes is part of a key.
  static func parts(of text: String) -> (message: String, help: String?) {
    var quotes = 0
    var separator: String.Index?
    for index in text.indices {
      if text[index] == "\"" { quotes += 1 }
      if quotes.isMultiple(of: 2), text[index...].hasPrefix(": ") { separator = index }
    }
    guard let separator else { return (text, nil) }
    return (String(text[..<separator]), String(text[separator...].dropFirst(2)))
  }

  private static func name(of code: RPCError.Code) -> String {
    switch code {
    case .unavailable: "unavailable"
    case .deadlineExceeded: "deadline-exceeded"
    case .cancelled: "cancelled"
    case .invalidArgument: "malformed"
    case .unimplemented: "unimplemented"
    case .unauthenticated: "unauthenticated"
    case .permissionDenied: "permission-denied"
    default: "failed"
    }
  }

  private static func details(_ detail: Wire.RefusalDetail) -> [(name: String, value: JSON)] {
    func json(_ route: Wire.Route) -> JSON? { (try? route.value())?.json }
    var fields: [(name: String, value: JSON)] = []
    func add(_ name: String, _ number: UInt64) {
      if number != 0 { fields.append((name, .number(number))) }
    }
    add("version", detail.catalogVersion)
    add("position", detail.position)
    add("oldest_version", detail.oldestVersion)
    if !detail.newerRoutes.isEmpty {
      fields.append(("routes", .array(detail.newerRoutes.compactMap(json))))
    }
    if detail.hasHolder, let holder = json(detail.holder) { fields.append(("holder", holder)) }
    if !detail.between.isEmpty {
      fields.append(("between", .array(detail.between.compactMap(json))))
    }
    if !detail.leaderAddress.isEmpty {
      fields.append(("leader_address", .string(detail.leaderAddress)))
    }
    return fields
  }
}

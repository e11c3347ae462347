import Foundation
import TestSupport
import Testing

/// A `cadastre` that runs as a process of its own, with a folder for what it writes.
final class CadastreProcess: Sendable {
  /// The program: what was built next to these tests, or what `CADASTRE_BINARY` names.
  static let program: URL = {
    if let path = ProcessInfo.processInfo.environment["CADASTRE_BINARY"] {
      return URL(filePath: path)
    }
    let tests = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    return tests.deletingLastPathComponent().appending(path: "cadastre")
  }()

  /// How a process ended and what it wrote.
  struct Ended: Sendable {
    var status: Int32
    var output: String
    var errors: String
  }

  private let process: ChildProcess

  /// Starts the program. Variables of the environment that name a catalog are not handed on.
  init(_ arguments: [String], input: Data? = nil, environment: [String: String] = [:]) throws {
    process = try ChildProcess(
      Self.program, arguments, input: input,
      environment: ProcessInfo.processInfo.environment
        .filter { !$0.key.hasPrefix("CADASTRE_") }
        .merging(environment) { $1 })
  }

  var identifier: Int32 { process.identifier }
  var isRunning: Bool { process.isRunning }
  var errorsSoFar: String { process.errorsSoFar }
  var outputSoFar: String { process.outputSoFar }

  func signal(_ number: Int32) { process.signal(number) }

  /// Waits until the process has ended; kills one that takes longer than `limit`.
  func wait(limit: Duration = .seconds(120)) async throws -> Ended {
    let ended = try await process.wait(limit: limit)
    return Ended(status: ended.status, output: ended.output, errors: ended.errors)
  }

  /// Asks the process to end, and waits for it.
  @discardableResult
  func stop() async throws -> Ended {
    signal(SIGTERM)
    return try await wait(limit: .seconds(20))
  }
}

extension CadastreProcess.Ended {
  /// The document on standard output.
  var json: JSONDocument { get throws { try JSONDocument(output) } }
  /// The error on standard error.
  var error: JSONDocument { get throws { try JSONDocument(errors)["error"] } }
  /// A document for each line of standard output.
  var jsonLines: [JSONDocument] {
    get throws { try output.split(separator: "\n").map { try JSONDocument(String($0)) } }
  }
}

/// Runs the program to its end.
func cadastre(
  _ arguments: String..., input: String? = nil, environment: [String: String] = [:]
) async throws -> CadastreProcess.Ended {
  try await CadastreProcess(
    arguments, input: input.map { Data($0.utf8) }, environment: environment
  ).wait()
}

/// A parsed JSON document, looked into by name.
struct JSONDocument: @unchecked Sendable {
  // Never changed once parsed.
  let value: Any

  init(_ text: String) throws {
    value = try JSONSerialization.jsonObject(
      with: Data(text.utf8), options: [.fragmentsAllowed])
  }

  private init(value: Any) { self.value = value }

  struct Missing: Error {
    var field: String
    var document: String
  }

  subscript(_ field: String) -> JSONDocument {
    get throws {
      guard let object = value as? [String: Any], let found = object[field] else {
        throw Missing(field: field, document: "\(value)")
      }
      return JSONDocument(value: found)
    }
  }

  var number: UInt64 {
    get throws { try #require((value as? NSNumber)?.uint64Value, "no number: \(value)") }
  }
  var string: String {
    get throws { try #require(value as? String, "no string: \(value)") }
  }
  /// The text; nil for null.
  var optionalString: String? { get throws { isNull ? nil : try string } }
  var bool: Bool { get throws { try #require(value as? Bool, "no truth value: \(value)") } }
  var array: [JSONDocument] {
    get throws {
      try #require(value as? [Any], "no array: \(value)").map { JSONDocument(value: $0) }
    }
  }
  var isNull: Bool { value is NSNull }
}

/// A folder that is gone after `body`.
func withTemporaryFolder<Result>(
  isolation: isolated (any Actor)? = #isolation, _ body: (URL) async throws -> Result
) async throws -> Result {
  let folder = FileManager.default.temporaryDirectory
    .appending(path: "cadastre-test-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try await body(folder)
}

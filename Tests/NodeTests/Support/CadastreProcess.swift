import Foundation
import Synchronization
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

    /// The document on standard output.
    var json: JSONDocument { get throws { try JSONDocument(output) } }
    /// The error on standard error.
    var error: JSONDocument { get throws { try JSONDocument(errors)["error"] } }
    /// A document for each line of standard output.
    var jsonLines: [JSONDocument] {
      get throws { try output.split(separator: "\n").map { try JSONDocument(String($0)) } }
    }
  }

  private let process: Mutex<Process>
  private let ending: Task<Int32, Never>
  private let outputFile: URL
  private let errorFile: URL

  /// Starts the program. Variables of the environment that name a catalog are not handed on.
  init(_ arguments: [String], input: Data? = nil, environment: [String: String] = [:]) throws {
    let process = Process()
    process.executableURL = Self.program
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment
      .filter { !$0.key.hasPrefix("CADASTRE_") }
      .merging(environment) { $1 }
    let base = FileManager.default.temporaryDirectory
      .appending(path: "cadastre-process-\(UUID().uuidString)").path
    outputFile = URL(filePath: base + ".out")
    errorFile = URL(filePath: base + ".err")
    // Files, not pipes: nobody has to read along for the process to get on.
    try Data().write(to: outputFile)
    try Data().write(to: errorFile)
    process.standardOutput = try FileHandle(forWritingTo: outputFile)
    process.standardError = try FileHandle(forWritingTo: errorFile)
    if let input {
      let inputFile = URL(filePath: base + ".in")
      try input.write(to: inputFile)
      process.standardInput = try FileHandle(forReadingFrom: inputFile)
      try FileManager.default.removeItem(at: inputFile)
    } else {
      process.standardInput = FileHandle.nullDevice
    }
    let (ended, continuation) = AsyncStream.makeStream(of: Int32.self)
    process.terminationHandler = { process in
      continuation.yield(
        process.terminationReason == .exit
          ? process.terminationStatus : -process.terminationStatus)
      continuation.finish()
    }
    try process.run()
    ending = Task { await ended.first { _ in true } ?? .min }
    self.process = Mutex(process)
  }

  deinit {
    process.withLock { if $0.isRunning { kill($0.processIdentifier, SIGKILL) } }
    try? FileManager.default.removeItem(at: outputFile)
    try? FileManager.default.removeItem(at: errorFile)
  }

  var identifier: Int32 { process.withLock { $0.processIdentifier } }
  var isRunning: Bool { process.withLock { $0.isRunning } }
  var errorsSoFar: String { (try? String(contentsOf: errorFile, encoding: .utf8)) ?? "" }
  var outputSoFar: String { (try? String(contentsOf: outputFile, encoding: .utf8)) ?? "" }

  func signal(_ number: Int32) { _ = kill(identifier, number) }

  /// Waits until the process has ended; kills one that takes longer than `limit`.
  func wait(limit: Duration = .seconds(120)) async throws -> Ended {
    let watchdog = Task {
      try await Task.sleep(for: limit)
      signal(SIGKILL)
    }
    defer { watchdog.cancel() }
    let status = await ending.value
    return Ended(status: status, output: outputSoFar, errors: errorsSoFar)
  }

  /// Asks the process to end, and waits for it.
  @discardableResult
  func stop() async throws -> Ended {
    signal(SIGTERM)
    return try await wait(limit: .seconds(20))
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

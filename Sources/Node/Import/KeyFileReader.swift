import Catalog
import Foundation

/// Reads keys, one a line; what follows a tab names the owner of the key. Plain or gzip-compressed.
package struct KeyFileReader {
  /// The longest line that is read, in bytes: a key, its owner, and every byte of it escaped.
  static let maximumLineLength = 6 * Key.maximumLength

  /// How much is read at most: a small compressed file can hold more than any memory.
  package struct Limits: Sendable {
    package var keyCount = 50_000_000
    /// Of keys and the names of their owners.
    package var byteCount = 1 << 30

    package init() {}
  }

  /// What a compressed file begins with.
  private static let gzipMagic: [UInt8] = [0x1F, 0x8B]

  /// Whether `\xNN` and `\\` in keys are escapes; otherwise a line's bytes are the key's.
  private let escaped: Bool
  private let name: String
  private let limits: Limits
  private var lineNumber: UInt64 = 0
  /// How many lines were empty, and passed over.
  package private(set) var emptyLines = 0
  package private(set) var keys: KeyList

  private init(name: String, escaped: Bool, dropsRepeats: Bool, limits: Limits) {
    self.name = name
    self.escaped = escaped
    self.limits = limits
    keys = KeyList(dropsRepeats: dropsRepeats)
  }

  /// Reads the file at `path`, or standard input for `-`; a pipe will do. With `dropsRepeats` a key
  /// that repeats the one before it is left out. `progress` is told how many keys have been read,
  /// after each chunk.
  ///
  /// - Throws: ``Problem`` for a file that is missing, unreadable or not of keys, naming the line;
  ///   what `progress` throws.
  package static func read(
    path: String, escaped: Bool, dropsRepeats: Bool = false, limits: Limits = Limits(),
    progress: (UInt64) throws -> Void = { _ in }
  ) throws -> KeyFileReader {
    let isInput = path == "-"
    var reader = KeyFileReader(
      name: isInput ? "standard input" : path, escaped: escaped, dropsRepeats: dropsRepeats,
      limits: limits)
    let file = isInput ? FileHandle.standardInput : try open(path)
    defer { if !isInput { try? file.close() } }
    // What was read is handed on: a pipe cannot go back to its start.
    let magic = Array(try reader.chunk(of: file, upToCount: gzipMagic.count) ?? Data())
    if magic == gzipMagic {
      try reader.consumeCompressed(file, progress: progress)
    } else {
      try reader.consume(magic, then: file, progress: progress)
    }
    return reader
  }

  static func open(_ path: String) throws -> FileHandle {
    var isDirectory: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
      throw Problem(
        .notFound, code: "file-not-found", "there is no file \(path)", help: "check the path")
    }
    guard !isDirectory.boolValue, let file = FileHandle(forReadingAtPath: path) else {
      throw Problem(
        .failed, code: "file-unreadable",
        "\(path) cannot be read\(isDirectory.boolValue ? ": it is a folder" : "")",
        help: "give a file that you may read")
    }
    return file
  }

  /// Takes the lines of a compressed file, of which the magic was read.
  private mutating func consumeCompressed(
    _ file: FileHandle, progress: (UInt64) throws -> Void
  ) throws {
    let gzip = Process()
    gzip.executableURL = URL(fileURLWithPath: "/bin/sh")
    gzip.arguments = ["-c", #"{ printf '\037\213'; cat; } | gzip -dc"#]
    let output = Pipe()
    let errors = Pipe()
    gzip.standardInput = file
    gzip.standardOutput = output
    gzip.standardError = errors
    do {
      try gzip.run()
    } catch {
      throw Problem(
        .failed, code: "gzip-missing",
        "\(name) is compressed, and gzip cannot be started: \(Problem.reason(of: error))",
        help: "install gzip, or unpack the file first")
    }
    do {
      try consume([], then: output.fileHandleForReading, progress: progress)
    } catch {
      gzip.terminate()
      // What runs in the shell ends when nobody reads it.
      try? output.fileHandleForReading.close()
      gzip.waitUntilExit()
      throw error
    }
    // gzip says at most a line or two, far less than the pipe holds.
    let complaint = (try? errors.fileHandleForReading.readToEnd()).flatMap { $0 } ?? Data()
    gzip.waitUntilExit()
    switch gzip.terminationStatus {
    case 0: break
    case 127:
      throw Problem(
        .failed, code: "gzip-missing", "\(name) is compressed, and there is no gzip here",
        help: "install gzip, or unpack the file first")
    default:
      let text = String(decoding: complaint, as: UTF8.self)
        .split(separator: "\n", omittingEmptySubsequences: true).first
        .map { $0.replacing("gzip: stdin: ", with: "") }
      throw Problem(
        .usage, code: "bad-input",
        "\(name) is not whole: \(text ?? "gzip ended with \(gzip.terminationStatus)")",
        help: "fetch the file again; `gzip -t` tests it")
    }
  }

  /// The next bytes of a file; nil or none at its end.
  private func chunk(of file: FileHandle, upToCount count: Int) throws -> Data? {
    do {
      return try file.read(upToCount: count)
    } catch {
      throw Problem(
        .failed, code: "file-unreadable", "\(name) cannot be read: \(Problem.reason(of: error))",
        help: "give a file that can be read to its end")
    }
  }

  /// Takes the lines of what was read already and of the file behind it.
  private mutating func consume(
    _ start: [UInt8], then file: FileHandle, progress: (UInt64) throws -> Void
  ) throws {
    var pending = start
    while let chunk = try chunk(of: file, upToCount: 1 << 18), !chunk.isEmpty {
      pending.append(contentsOf: chunk)
      let consumed = try pending.withUnsafeBytes { try consumeLines($0) }
      pending.removeFirst(consumed)
      guard pending.count <= Self.maximumLineLength else { throw lineTooLong(lineNumber + 1) }
      try progress(UInt64(keys.count))
    }
    // The last line need not end; what was read already may even hold two.
    let consumed = try pending.withUnsafeBytes { try consumeLines($0) }
    pending.removeFirst(consumed)
    if !pending.isEmpty { try pending.withUnsafeBytes { try consume(line: $0) } }
  }

  /// Takes the lines that are whole; returns how many bytes that were.
  private mutating func consumeLines(_ bytes: UnsafeRawBufferPointer) throws -> Int {
    guard let base = bytes.baseAddress else { return 0 }
    var start = 0
    while start < bytes.count, let end = memchr(base + start, 0x0A, bytes.count - start) {
      let length = UnsafeRawPointer(end) - (base + start)
      try consume(line: UnsafeRawBufferPointer(start: base + start, count: length))
      start += length + 1
    }
    return start
  }

  private mutating func consume(line: UnsafeRawBufferPointer) throws {
    lineNumber += 1
    guard line.count <= Self.maximumLineLength else { throw lineTooLong(lineNumber) }
    guard !line.isEmpty else {
      emptyLines += 1
      return
    }
    let tab = line.firstIndex(of: UInt8(ascii: "\t")) ?? line.count
    let text = UnsafeRawBufferPointer(rebasing: line[..<tab])
    let owner = UnsafeRawBufferPointer(rebasing: line[min(tab + 1, line.count)...])
    do {
      if escaped {
        guard let text = String(validating: text, as: UTF8.self) else {
          throw badLine("it is not UTF-8; write other bytes as \\xNN")
        }
        let key = try Key(text: text)
        try key.bytes.withUnsafeBytes { try keys.append(key: $0, owner: owner) }
      } else {
        try keys.append(key: text, owner: owner)
      }
    } catch let error as KeyError {
      throw badLine(error.description)
    }
    guard keys.count <= limits.keyCount, keys.byteCount <= limits.byteCount else {
      throw tooMuch()
    }
  }

  private func tooMuch() -> Problem {
    Problem(
      .usage, code: "bad-input",
      "\(name) holds more than \(grouped(limits.keyCount)) keys or "
        + "\(grouped(limits.byteCount)) bytes of keys and owners: line \(lineNumber) is past that",
      help: "give fewer keys, as only every tenth",
      details: [
        ("line", .number(lineNumber)), ("maximum_keys", JSON(limits.keyCount)),
        ("maximum_bytes", JSON(limits.byteCount)),
      ])
  }

  private func badLine(_ reason: String) -> Problem {
    Problem(
      .usage, code: "bad-input", "line \(lineNumber) of \(name): \(reason)",
      help: "mend that line, or leave it out", details: [("line", .number(lineNumber))])
  }

  private func lineTooLong(_ number: UInt64) -> Problem {
    Problem(
      .usage, code: "bad-input",
      "line \(number) of \(name) is longer than \(grouped(Self.maximumLineLength)) bytes",
      help: "give a file of keys, one a line, each at most \(grouped(Key.maximumLength)) bytes",
      details: [("line", .number(number))])
  }
}

import Catalog
import Foundation

/// Reads keys, one a line; what follows a tab names the owner of the key. Plain or gzip-compressed.
package struct KeyFileReader {
  /// The longest line that is read, in bytes: a key, its owner, and every byte of it escaped.
  static let maximumLineLength = 6 * Key.maximumLength

  /// What a compressed file begins with.
  private static let gzipMagic: [UInt8] = [0x1F, 0x8B]

  /// Whether `\xNN` and `\\` in keys are escapes; otherwise a line's bytes are the key's.
  private let escaped: Bool
  private let name: String
  private var lineNumber: UInt64 = 0
  /// How many lines were empty, and passed over.
  package private(set) var emptyLines = 0
  package private(set) var keys = KeyList()

  private init(name: String, escaped: Bool) {
    self.name = name
    self.escaped = escaped
  }

  /// Reads the file at `path`, or standard input for `-`. `progress` is told how many keys have
  /// been read, after each chunk.
  ///
  /// - Throws: ``Problem`` for a file that is missing, unreadable or not of keys, naming the line;
  ///   what `progress` throws.
  package static func read(
    path: String, escaped: Bool, progress: (UInt64) throws -> Void = { _ in }
  ) throws -> KeyFileReader {
    var reader = KeyFileReader(name: path == "-" ? "standard input" : path, escaped: escaped)
    if path == "-" {
      try reader.consume(.standardInput, progress: progress)
      return reader
    }
    let file = try open(path)
    defer { try? file.close() }
    let magic = try file.read(upToCount: 2) ?? Data()
    if magic.elementsEqual(Self.gzipMagic) {
      try reader.consumeCompressed(path, progress: progress)
    } else {
      try file.seek(toOffset: 0)
      try reader.consume(file, progress: progress)
    }
    return reader
  }

  private static func open(_ path: String) throws -> FileHandle {
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

  private mutating func consumeCompressed(
    _ path: String, progress: (UInt64) throws -> Void
  ) throws {
    let gzip = Process()
    gzip.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    gzip.arguments = ["gzip", "-dc", "--", path]
    let output = Pipe()
    let errors = Pipe()
    gzip.standardInput = FileHandle.nullDevice
    gzip.standardOutput = output
    gzip.standardError = errors
    do {
      try gzip.run()
    } catch {
      throw Problem(
        .failed, code: "gzip-missing",
        "\(path) is compressed, and gzip cannot be started: \(error)",
        help: "install gzip, or unpack the file first")
    }
    do {
      try consume(output.fileHandleForReading, progress: progress)
    } catch {
      gzip.terminate()
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
        .failed, code: "gzip-missing", "\(path) is compressed, and there is no gzip here",
        help: "install gzip, or unpack the file first")
    default:
      let text = String(decoding: complaint, as: UTF8.self)
        .split(separator: "\n", omittingEmptySubsequences: true).first.map(String.init)
      throw Problem(
        .usage, code: "bad-input",
        "\(path) is not whole: \(text ?? "gzip ended with \(gzip.terminationStatus)")",
        help: "fetch the file again; `gzip -t` tests it")
    }
  }

  private mutating func consume(_ file: FileHandle, progress: (UInt64) throws -> Void) throws {
    var pending: [UInt8] = []
    while let chunk = try file.read(upToCount: 1 << 18), !chunk.isEmpty {
      if lineNumber == 0, pending.isEmpty, chunk.starts(with: Self.gzipMagic) {
        throw Problem(
          .usage, code: "bad-input", "\(name) is compressed",
          help: "unpack it with `gzip -dc` first")
      }
      pending.append(contentsOf: chunk)
      let consumed = try pending.withUnsafeBytes { try consumeLines($0) }
      pending.removeFirst(consumed)
      guard pending.count <= Self.maximumLineLength else { throw lineTooLong(lineNumber + 1) }
      try progress(UInt64(keys.count))
    }
    // The last line need not end.
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

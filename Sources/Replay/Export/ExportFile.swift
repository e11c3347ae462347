import Catalog
import Crypto
import Glibc

/// The parts of an export: what they are, and the sums that vouch for them. `FORMAT.md` describes
/// the file.
enum ExportPart {
  static let magic = Array("CDX\n".utf8)
  /// Routes of a state, in key order.
  static let routes: UInt8 = 1
  /// Entries of a log, each with what its command asked for.
  static let entries: UInt8 = 2
  /// The records of the membership of a state, after its routes.
  static let members: UInt8 = 3
  /// The commands that are known up to a state, after its routes and members.
  static let commands: UInt8 = 4
  static let end: UInt8 = 0
  /// A part ends with the entry or route that takes it to this many bytes.
  static let targetByteCount = 4 << 20
  /// A part has at most this many commands.
  static let commandCount = 65_536
  /// The most that a reader takes for a part: one entry of the greatest length, and what may stand
  /// before it.
  static let maximumByteCount = LogEntry.maximumByteCount + 2 * targetByteCount
  /// Its kind, its length, its bytes' SHA-256.
  static let headerByteCount = 1 + 8 + EntryHash.byteCount
}

/// Writes an export under another name, which it takes on when it is whole.
struct ExportFileWriter: ~Copyable {
  private let path: String
  private let descriptor: Int32
  private var hasher = SHA256()
  private var partCount: UInt64 = 0
  private(set) var byteCount: UInt64 = 0
  private var isFinished = false

  private var draft: String { path + ".new" }

  init(_ path: String, _ manifest: ExportManifest) throws(ExportError) {
    self.path = path
    descriptor = open(path + ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw Self.failure("creation", path + ".new") }
    try write(ExportPart.magic)
    let text = Array(manifest.text.utf8)
    try write(withUnsafeBytes(of: UInt32(text.count).littleEndian, Array.init))
    try write(text)
    try write(Array("\n".utf8))
    try write(text.withUnsafeBytes(EntryHash.init(of:)).bytes)
  }

  deinit {
    close(descriptor)
    if !isFinished { unlink(draft) }
  }

  mutating func add(_ kind: UInt8, _ bytes: [UInt8]) throws(ExportError) {
    try write([kind])
    try write(withUnsafeBytes(of: UInt64(bytes.count).littleEndian, Array.init))
    try write(bytes.withUnsafeBytes(EntryHash.init(of:)).bytes)
    try write(bytes)
    partCount += 1
  }

  /// Ends the file, makes it durable and gives it its name.
  mutating func finish() throws(ExportError) -> UInt64 {
    try write([ExportPart.end])
    try write(withUnsafeBytes(of: partCount.littleEndian, Array.init))
    let sum = Array(hasher.finalize())
    try write(sum)
    guard fsync(descriptor) == 0, rename(draft, path) == 0 else {
      throw Self.failure("write", path)
    }
    isFinished = true
    return byteCount
  }

  private mutating func write(_ bytes: [UInt8]) throws(ExportError) {
    hasher.update(data: bytes)
    byteCount += UInt64(bytes.count)
    var offset = 0
    while offset < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.write(descriptor, $0.baseAddress.map { $0 + offset }, $0.count - offset)
      }
      guard count > 0 || errno == EINTR else { throw Self.failure("write", draft) }
      offset += max(0, count)
    }
  }

  static func failure(_ operation: String, _ path: String) -> ExportError {
    .system(operation: operation, path: path, message: errorText(errno))
  }
}

/// Reads an export from front to back; every part is proven by its sum before it is handed out.
struct ExportFileReader: ~Copyable {
  let path: String
  /// The size of the file.
  let byteCount: UInt64
  private(set) var offset: UInt64 = 0
  private let descriptor: Int32
  private var hasher = SHA256()
  private var partCount: UInt64 = 0

  init(_ path: String) throws(ExportError) {
    self.path = path
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      byteCount = 0
      throw ExportFileWriter.failure("open", path)
    }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      byteCount = 0
      throw .notAnExport(path: path)
    }
    byteCount = UInt64(max(0, status.st_size))
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// What the file says of itself. Before all parts.
  mutating func manifest() throws(ExportError) -> ExportManifest {
    guard byteCount >= 8, try read(4) == ExportPart.magic else { throw .notAnExport(path: path) }
    let length = try number(4)
    guard length <= 1 << 20 else { throw damaged("its manifest is too long") }
    let bytes = try read(Int(length))
    guard try read(1) == Array("\n".utf8) else { throw damaged("its manifest does not end") }
    let sum = try read(EntryHash.byteCount)
    guard sum == bytes.withUnsafeBytes(EntryHash.init(of:)).bytes else {
      throw damaged("its manifest is not what was written")
    }
    let text = String(decoding: bytes, as: UTF8.self)
    if let format = ExportManifest.format(in: text), format > ExportManifest.format {
      throw .newerFormat(path: path, found: format)
    }
    guard let manifest = ExportManifest(text) else { throw damaged("its manifest is none") }
    return manifest
  }

  /// The next part; nil at the end, when the file as a whole is what was written.
  mutating func next() throws(ExportError) -> (kind: UInt8, bytes: [UInt8])? {
    let start = offset
    let kind = try read(1)[0]
    guard kind != ExportPart.end else {
      guard try number(8) == partCount else { throw damaged("parts are missing", at: start) }
      let sum = Array(hasher.finalize())
      guard try read(EntryHash.byteCount) == sum, offset == byteCount else {
        throw damaged("the file is not what was written", at: start)
      }
      return nil
    }
    let length = try number(8)
    let sum = try read(EntryHash.byteCount)
    guard length <= UInt64(ExportPart.maximumByteCount) else {
      throw damaged("a part is too long", at: start)
    }
    let bytes = try read(Int(length))
    guard sum == bytes.withUnsafeBytes(EntryHash.init(of:)).bytes else {
      throw damaged("a part is not what was written", at: start)
    }
    partCount += 1
    return (kind, bytes)
  }

  func damaged(_ what: String, at offset: UInt64? = nil) -> ExportError {
    .damaged(path: path, offset: offset ?? self.offset, what)
  }

  private mutating func number(_ byteCount: Int) throws(ExportError) -> UInt64 {
    try read(byteCount).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  private mutating func read(_ count: Int) throws(ExportError) -> [UInt8] {
    // Before any room is made for it.
    guard UInt64(count) <= byteCount - min(offset, byteCount) else {
      throw damaged("the file ends too early")
    }
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let got = bytes.withUnsafeMutableBytes {
        Glibc.read(descriptor, $0.baseAddress.map { $0 + done }, $0.count - done)
      }
      if got == 0 { throw damaged("the file ends too early") }
      guard got > 0 || errno == EINTR else { throw ExportFileWriter.failure("read", path) }
      done += max(0, got)
    }
    hasher.update(data: bytes)
    offset += UInt64(count)
    return bytes
  }
}

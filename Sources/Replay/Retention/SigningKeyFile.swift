import Catalog
import Glibc

/// The private key of a log's keeper, in the log's folder: 32 bytes in hexadecimal and a line break,
/// for the owner of the folder alone to read.
package enum SigningKeyFile {
  package static let name = "signing.key"

  /// The key of `folder`; nil when there is none yet.
  ///
  /// - Throws: ``StoreError/system(operation:code:message:)`` when the file is no key.
  package static func load(from folder: String) throws(StoreError) -> SigningKey? {
    let path = folder + "/" + name
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw errno == EACCES
        ? .permissionDenied(path: path)
        : .system(operation: "open of \(path)", code: errno, message: errorText(errno))
    }
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 256)
    let count = read(descriptor, &buffer, buffer.count)
    let text = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    guard let line = text.split(separator: "\n").first,
      let bytes = bytes(hexadecimal: line), let key = SigningKey(bytes: bytes)
    else {
      throw .system(operation: "read of \(path)", code: 0, message: "it holds no key")
    }
    return key
  }

  /// The key of `folder`, made of `random` where there is none yet: 32 bytes that nobody can guess.
  package static func loadOrMake(
    in folder: String, random: () -> [UInt8]
  ) throws(StoreError) -> SigningKey {
    if let key = try load(from: folder) { return key }
    guard let key = SigningKey(bytes: random()) else {
      throw .system(operation: "creation of a key", code: 0, message: "32 bytes are needed")
    }
    let path = folder + "/" + name
    try Folder.write(Array((hexadecimal(key.bytes) + "\n").utf8), to: path, mode: 0o600)
    return key
  }
}

import CadastreClient
import Glibc
import NIOCore
import NIOHPACK

/// A connection on which a test sends whatever bytes it likes. Blocks, but never for longer than a
/// second at a time.
final class RawConnection {
  struct Failure: Error {
    var operation: String
    var code: Int32
  }

  private let descriptor: Int32

  /// Connects to a node of this machine.
  init(_ address: NodeAddress) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw Failure(operation: "socket", code: errno) }
    // Thousands at once wait in line to be accepted.
    var limit = timeval(tv_sec: 120, tv_usec: 0)
    setsockopt(
      descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_port = UInt16(address.port).bigEndian
    name.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let isConnected = withUnsafePointer(to: &name) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
    guard isConnected else {
      let code = errno
      close(descriptor)
      throw Failure(operation: "connect", code: code)
    }
    limit.tv_sec = 1
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
      setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
    }
  }

  deinit { close(descriptor) }

  /// Sends bytes; false when the other side takes no more.
  @discardableResult
  func send(_ bytes: [UInt8]) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }

  /// What came next; empty when the other side has closed, nil when nothing came for a second.
  func receive() -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
    if count < 0, errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR { return nil }
    return Array(bytes.prefix(max(0, count)))
  }

  /// Like ``receive()``, where nothing may come for another time than a second.
  func receive(patience: Duration) -> [UInt8]? {
    var event = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&event, 1, Int32(patience / .milliseconds(1))) > 0 else { return nil }
    return receive()
  }

  /// What has come and was not looked at, without waiting for more.
  func drain() {
    var bytes = [UInt8](repeating: 0, count: 65_536)
    while bytes.withUnsafeMutableBytes({
      recv(descriptor, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
    }) > 0 {}
  }

  /// Tells the other side that nothing more will be sent.
  func finish() { shutdown(descriptor, Int32(SHUT_WR)) }
}

/// Frames of HTTP/2, right and wrong ones.
enum Frames {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  enum Kind: UInt8 {
    case data, headers, priority, rstStream, settings, pushPromise, ping, goAway, windowUpdate
    case continuation
  }

  static let endStream: UInt8 = 1
  static let endHeaders: UInt8 = 4

  static func frame(
    _ kind: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []
  ) -> [UInt8] {
    let length = payload.count
    return [UInt8(length >> 16 & 255), UInt8(length >> 8 & 255), UInt8(length & 255), kind, flags]
      + (0..<4).map { UInt8(stream >> (24 - 8 * UInt32($0)) & 255) } + payload
  }

  static func frame(
    _ kind: Kind, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []
  ) -> [UInt8] {
    frame(kind.rawValue, flags: flags, stream: stream, payload)
  }

  /// A greeting: the preface and settings.
  static func greeting(initialWindow: UInt32? = nil) -> [UInt8] {
    let window = initialWindow.map { window in
      [0, 4] + (0..<4).map { UInt8(window >> (24 - 8 * UInt32($0)) & 255) }
    }
    return preface + frame(.settings, window ?? [])
  }

  /// The compressed head of a call.
  static func head(_ path: String, _ changes: [(String, String?)] = []) -> [UInt8] {
    var fields: [(String, String)] = [
      (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
      ("content-type", "application/grpc"), ("te", "trailers"),
    ]
    for (name, value) in changes {
      fields.removeAll { $0.0 == name }
      if let value { fields.append((name, value)) }
    }
    var encoder = HPACKEncoder(allocator: ByteBufferAllocator())
    var buffer = ByteBuffer()
    try? encoder.encode(headers: HPACKHeaders(fields), to: &buffer)
    return Array(buffer.readableBytesView)
  }

  /// A message with the five bytes that gRPC puts before it.
  static func message(_ bytes: [UInt8], flag: UInt8 = 0, length: Int? = nil) -> [UInt8] {
    let length = length ?? bytes.count
    return [flag] + (0..<4).map { UInt8(length >> (24 - 8 * $0) & 255) } + bytes
  }

  /// A whole call.
  static func call(
    _ path: String, _ changes: [(String, String?)] = [], stream: UInt32 = 1, body: [UInt8]
  ) -> [UInt8] {
    frame(.headers, flags: endHeaders, stream: stream, head(path, changes))
      + frame(.data, flags: endStream, stream: stream, body)
  }
}

extension RawConnection {
  /// What a node answered on a stream: its head and its trailers in one, or the code of a reset.
  struct Answer {
    var fields: [String: String] = [:]
    var resetCode: UInt32?
    /// Whether the node closed the connection over it.
    var isClosed = false
  }

  /// Reads until the end of `stream`, or of the connection.
  func answer(on stream: UInt32 = 1) -> Answer {
    var answer = Answer()
    var decoder = HPACKDecoder(allocator: ByteBufferAllocator())
    var bytes: [UInt8] = []
    for _ in 0..<100 {
      while bytes.count >= 9 {
        let length = Int(bytes[0]) << 16 | Int(bytes[1]) << 8 | Int(bytes[2])
        guard bytes.count >= 9 + length else { break }
        let (kind, flags) = (bytes[3], bytes[4])
        let id = bytes[5..<9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let payload = Array(bytes[9..<9 + length])
        bytes.removeFirst(9 + length)
        switch Frames.Kind(rawValue: kind) {
        case .headers:
          var buffer = ByteBuffer(bytes: payload)
          for (name, value, _) in (try? decoder.decodeHeaders(from: &buffer)) ?? HPACKHeaders()
          where id == stream {
            answer.fields[name] = value
          }
        case .rstStream where id == stream:
          answer.resetCode = payload.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
          return answer
        case .goAway: answer.isClosed = true
        case .settings where flags == 0: send(Frames.frame(.settings, flags: 1))
        default: break
        }
        if id == stream, kind <= 1, flags & Frames.endStream != 0 { return answer }
      }
      guard let more = receive() else { continue }
      guard !more.isEmpty else {
        answer.isClosed = true
        return answer
      }
      bytes += more
    }
    return answer
  }
}

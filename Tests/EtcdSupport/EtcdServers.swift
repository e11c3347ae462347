import Foundation
import Synchronization

/// Real etcd servers on loopback, with their data in a temporary folder: made for one test, killed
/// and removed with it.
package final class EtcdServers: Sendable {
  package struct Failure: Error, CustomStringConvertible {
    package let description: String
  }

  private struct Server {
    var process: Process?
    var isPaused = false
  }

  /// The files that members encrypt their clients' connections with.
  package struct Encryption: Sendable {
    package var certificate: String
    package var key: String
    /// Who signs the certificates that clients must show; nil: they need none.
    package var clientAuthority: String?

    package init(certificate: String, key: String, clientAuthority: String? = nil) {
      (self.certificate, self.key, self.clientAuthority) = (certificate, key, clientAuthority)
    }

    fileprivate var flags: [String] {
      ["--cert-file", certificate, "--key-file", key]
        + (clientAuthority.map { ["--client-cert-auth", "--trusted-ca-file", $0] } ?? [])
    }
  }

  package let clientPorts: [Int]
  private let peerPorts: [Int]
  /// Where members speak plain text with the tests, whatever their clients need.
  let plainPorts: [Int]
  private let encryption: Encryption?
  private let folder: String
  private let flags: [String]
  private let servers: Mutex<[Server]>

  /// The addresses at which clients connect.
  package var endpoints: [String] { clientPorts.map { "127.0.0.1:\($0)" } }

  /// Starts so many members of one cluster, and waits until they answer.
  ///
  /// - Throws: ``Failure`` when there is no etcd, or it does not come up.
  package init(count: Int = 1, encryption: Encryption? = nil, flags: [String] = []) throws {
    guard Self.program != nil else {
      throw Failure(description: "there is no etcd on the PATH: `make setup` installs it")
    }
    (self.encryption, self.flags) = (encryption, flags)
    let ports = try Self.freePorts(3 * count)
    clientPorts = Array(ports.prefix(count))
    peerPorts = Array(ports[count..<2 * count])
    plainPorts = Array(ports.suffix(count))
    folder = NSTemporaryDirectory() + "etcd-\(UUID().uuidString)"
    servers = Mutex(Array(repeating: Server(), count: count))
    try FileManager.default.createDirectory(
      atPath: folder, withIntermediateDirectories: true)
    for index in 0..<count { try start(index) }
    for index in 0..<count { try untilServing(index) }
  }

  deinit {
    for index in clientPorts.indices { kill(index) }
    try? FileManager.default.removeItem(atPath: folder)
  }

  /// Starts a member that was killed, with the data that it has.
  package func start(_ index: Int) throws {
    guard let program = Self.program else { return }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    let client = "\(encryption == nil ? "http" : "https")://127.0.0.1:\(clientPorts[index])"
    let peer = "http://127.0.0.1:\(peerPorts[index])"
    let members = peerPorts.indices.map { "m\($0)=http://127.0.0.1:\(peerPorts[$0])" }
    process.arguments =
      [
        "--name", "m\(index)", "--data-dir", "\(folder)/m\(index)",
        "--listen-client-urls", "\(client),http://127.0.0.1:\(plainPorts[index])",
        "--advertise-client-urls", client,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
        "--initial-cluster", members.joined(separator: ","), "--initial-cluster-state", "new",
        "--heartbeat-interval", "50", "--election-timeout", "500", "--log-level", "error",
      ] + (encryption?.flags ?? []) + flags
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    servers.withLock { $0[index] = Server(process: process) }
  }

  /// Waits until a member takes reads that its cluster agrees to.
  package func untilServing(_ index: Int, within seconds: Int = 30) throws {
    let end = Date().addingTimeInterval(TimeInterval(seconds))
    while Date() < end {
      if isServing(index) { return }
      usleep(50_000)
    }
    throw Failure(description: "etcd did not come up at \(endpoints[index]) within \(seconds) s")
  }

  /// Whether a member takes reads that its cluster agrees to.
  package func isServing(_ index: Int) -> Bool { Self.isHealthy(port: plainPorts[index]) }

  /// What etcd itself says at `/health`: that it takes reads that its cluster agrees to.
  private static func isHealthy(port: Int) -> Bool {
    answer(of: port, to: "GET /health HTTP/1.0\r\n\r\n")?.contains("\"true\"") ?? false
  }

  /// What is answered to an HTTP request in plain text; nil without a connection.
  static func answer(of port: Int, to request: String) -> String? {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var limit = timeval(tv_sec: 2, tv_usec: 0)
    setsockopt(
      descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var address = loopback
    address.sin_port = UInt16(port).bigEndian
    let isConnected = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
    let request = Array(request.utf8)
    guard isConnected, send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) > 0
    else { return nil }
    var (answer, bytes) = ([UInt8](), [UInt8](repeating: 0, count: 1024))
    while true {
      let count = recv(descriptor, &bytes, bytes.count, 0)
      guard count > 0 else { break }
      answer += bytes.prefix(count)
    }
    return String(decoding: answer, as: UTF8.self)
  }

  private static var loopback: sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return address
  }

  /// Ends a member as a crash does, and waits for its end.
  package func kill(_ index: Int) {
    let process = servers.withLock { servers -> Process? in
      defer { servers[index].process = nil }
      return servers[index].process
    }
    guard let process else { return }
    Foundation.kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }

  /// Ends a member in good order, and waits for its end.
  package func stop(_ index: Int) async throws {
    signal(index, SIGTERM)
    while servers.withLock({ $0[index].process?.isRunning ?? false }) {
      try await Task.sleep(for: .milliseconds(5))
    }
    servers.withLock { $0[index].process = nil }
  }

  /// Stops a member in its tracks; it holds its connections and answers nothing.
  package func pause(_ index: Int) { signal(index, SIGSTOP) }

  package func resume(_ index: Int) { signal(index, SIGCONT) }

  private func signal(_ index: Int, _ number: Int32) {
    guard let process = servers.withLock({ $0[index].process }) else { return }
    Foundation.kill(process.processIdentifier, number)
  }

  private static let program = ["/usr/bin/etcd", "/usr/local/bin/etcd"].first {
    FileManager.default.isExecutableFile(atPath: $0)
  }

  /// Ports that nobody listens on now.
  private static func freePorts(_ count: Int) throws -> [Int] {
    var sockets: [Int32] = []
    defer { for socket in sockets { close(socket) } }
    var ports: [Int] = []
    for _ in 0..<count {
      let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      guard descriptor >= 0 else { throw Failure(description: "no socket: \(errno)") }
      sockets.append(descriptor)
      var address = loopback
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      let result = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
          bind(descriptor, address, length) == 0 ? getsockname(descriptor, address, &length) : -1
        }
      }
      guard result == 0 else { throw Failure(description: "no port: \(errno)") }
      ports.append(Int(UInt16(bigEndian: address.sin_port)))
    }
    return ports
  }
}

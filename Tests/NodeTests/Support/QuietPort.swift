import Glibc

/// A port of the loopback that nobody listens on, for a node that others look for while it is not
/// there.
///
/// It is below those that the system gives to whoever asks for none. Among these, a caller that
/// connects to a free one may be given that very port, and so find itself.
func quietPort() -> Int {
  while true {
    let port = UInt16.random(in: 16_000..<32_000)
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_port = port.bigEndian
    name.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let isFree = withUnsafePointer(to: &name) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
    if isFree { return Int(port) }
  }
}

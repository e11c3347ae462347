/// Changes of the index by id that are still to be made, in their order.
struct StartChanges: Sendable {
  /// For each the id, a key's length plus one, or zero where the route goes, and the key.
  private var bytes: [UInt8] = []
  private(set) var count = 0

  mutating func add(_ route: RouteID, _ start: UnsafeRawBufferPointer?) {
    withUnsafeBytes(of: route.rawValue) { bytes.append(contentsOf: $0) }
    withUnsafeBytes(of: UInt32(start.map { $0.count + 1 } ?? 0)) { bytes.append(contentsOf: $0) }
    if let start { bytes.append(contentsOf: start) }
    count += 1
  }

  func forEach(_ body: (RouteID, UnsafeRawBufferPointer?) -> Void) {
    bytes.withUnsafeBytes { bytes in
      var offset = 0
      while offset < bytes.count {
        let route = RouteID(bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        let length = Int(bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt32.self))
        offset += 12
        guard length > 0 else {
          body(route, nil)
          continue
        }
        body(route, UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length - 1]))
        offset += length - 1
      }
    }
  }
}

import Catalog
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

extension TableBench {
  /// Lookups in a table that is held as the client library holds it, against those in a table that is
  /// simply there; then while another thread shows a new version every 100 µs.
  func lookUpAsAClient() throws {
    let published = PublishedTable()
    published.publish(table)
    var means: [Double] = []
    // In turn, so that whatever else the machine does meets all of them.
    for _ in 0..<3 {
      for (index, mean) in [
        meanLookup { table.owner(of: $0) }, meanLookup { published.owner(of: $0) },
      ].enumerated() {
        if means.count == index { means.append(mean) }
        means[index] = min(means[index], mean)
      }
    }
    let state = WriterState(published, table)
    var thread = pthread_t()
    let context = Unmanaged.passRetained(state)
    let code = pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        Unmanaged<WriterState>.fromOpaque(context).takeRetainedValue().write()
        return nil
      }, context.toOpaque())
    guard code == 0 else { throw BenchError.usage("no thread could be started") }
    let busy = (0..<3).map { _ in meanLookup { published.owner(of: $0) } }.min() ?? 0
    state.isOver.store(true, ordering: .relaxed)
    pthread_join(thread, nil)
    report(
      "client_lookup",
      "\"routes\":\(table.count),\"table_mean_ns\":\(decimal(means[0])),"
        + "\"client_mean_ns\":\(decimal(means[1])),\"ratio\":\(decimal(means[1] / means[0])),"
        + "\"client_mean_ns_while_publishing\":\(decimal(busy))")
  }

  private func meanLookup(_ owner: (UnsafeRawBufferPointer) -> RouteOwner?) -> Double {
    let begin = nanoseconds()
    var checksum: UInt64 = 0
    lookups.bytes.withUnsafeBytes { bytes in
      for range in lookups.ranges {
        checksum &+= owner(UnsafeRawBufferPointer(rebasing: bytes[range]))?.route.rawValue ?? 0
      }
    }
    precondition(checksum > 0, "keys have owners")
    return Double(nanoseconds() - begin) / Double(lookups.count)
  }
}

/// The thread that shows versions.
private final class WriterState: Sendable {
  let published: PublishedTable
  let table: RouteTable
  let isOver = Atomic(false)

  init(_ published: PublishedTable, _ table: RouteTable) {
    (self.published, self.table) = (published, table)
  }

  func write() {
    while !isOver.load(ordering: .relaxed) {
      published.publish(table)
      usleep(100)
    }
  }
}

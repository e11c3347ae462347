import CadastreClient
import Etcd
import Testing

/// One etcd for all tests of a suite, which ends with the suite. Each test has keys of its own there.
package struct OneEtcd: SuiteTrait, TestScoping {
  @TaskLocal private static var servers: EtcdServers?

  package func provideScope(
    for test: Test, testCase: Test.Case?, performing body: @Sendable () async throws -> Void
  ) async throws {
    try await Self.$servers.withValue(EtcdServers(), operation: body)
  }

  /// Where the suite's etcd is reached.
  ///
  /// - Throws: Where the suite has none.
  package static func endpoint() throws -> NodeAddress {
    let servers = try #require(servers, "the suite has no etcd: it takes the trait .oneEtcd")
    return try NodeAddress(servers.endpoints[0])
  }

  /// A client of the suite's etcd, connected for as long as somebody holds it. Who leads by way of it
  /// does so until the lead is given back, and no outcome is unknown, however slow the machine.
  package static func connect() throws -> EtcdClient {
    var options = EtcdOptions(endpoints: [try endpoint()])
    options.leaseSeconds = 60
    options.callTimeout = .seconds(30)
    let client = try EtcdClient(options)
    client.start()
    return client
  }
}

extension Trait where Self == OneEtcd {
  /// Runs one etcd for the tests of the suite.
  package static var oneEtcd: Self { OneEtcd() }
}

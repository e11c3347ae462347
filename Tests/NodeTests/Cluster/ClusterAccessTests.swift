import CadastreClient
import EtcdSupport
import Foundation
import TLSSupport
import TestSupport
import Testing

@testable import Node

/// A cluster whose etcd encrypts and asks who calls, as its operator meets it.
@Suite(.timeLimit(.minutes(5))) struct ClusterAccessTests {
  /// An etcd that wants a certificate and a password, and what has both.
  private struct Bench {
    let folder: URL
    let files: TestCertificates
    let etcd: EtcdServers

    init(in folder: URL) throws {
      self.folder = folder
      files = try TestCertificates()
      etcd = try EtcdServers(
        encryption: EtcdServers.Encryption(
          certificate: files.server.certificate, key: files.server.key,
          clientAuthority: files.authority))
      try etcd.enableUsers("cadastre", password: "right", prefix: "/cadastre/prod/")
    }

    var log: String { "etcd://\(etcd.endpoints[0])/prod" }
    var member: String { folder.appending(path: "a").path }

    /// Each setting, as a flag or a line of a file names it.
    func access(
      password: String = "right", authority: String? = nil
    ) throws -> [(name: String, value: String)] {
      [
        ("etcd-ca", authority ?? files.authority), ("etcd-cert", files.client.certificate),
        ("etcd-key", files.client.key), ("etcd-user", "cadastre"),
        ("etcd-password-file", try files.secrets.write(password + "\n", to: password)),
      ]
    }

    func run(
      _ arguments: String..., access: [(name: String, value: String)]
    ) async throws -> CadastreProcess.Ended {
      let flags = access.flatMap { ["--\($0.name)", $0.value] }
      return try await CadastreProcess(arguments + ["--log", log] + flags).wait()
    }
  }

  @Test func aNodeServesWhereEtcdAsksWhoCalls() async throws {
    try await withTemporaryFolder { folder in
      let bench = try Bench(in: folder)
      let access = try bench.access()
      let made = try await bench.run("cluster", "init", bench.member, access: access)
      #expect(made.status == 0, "\(made.errors)")
      let config = folder.appending(path: "node.json5")
      try JSONEncoder().encode(
        Dictionary(uniqueKeysWithValues: access.map { ($0.name, $0.value) })
      ).write(to: config)
      let node = ServedNode(
        "a", in: folder,
        [
          "--log", bench.log, "--folder", bench.member, "--member", "a", "--region", "home",
          "--config", config.path,
        ])
      try await node.start()
      try await until {
        try await cadastre("split", "--at", "m", "--server", "\(node.address)").status == 0
      }
      let resolved = try await cadastre(
        "resolve", "zebra", "--min-version", "2", "--server", "\(node.address)", "--json")
      #expect(resolved.status == 0, "\(resolved.errors)")
      #expect(resolved.output.contains("\"version\":2"))
      let status = try await bench.run("cluster", "status", "--json", access: access)
      #expect(status.status == 0, "\(status.errors)")
      #expect(try status.json["leader"].string == "a")
      #expect(try status.json["version"].number == 2)
      try await node.stop()
    }
  }

  @Test func whoIsNotLetInIsToldWhatToDo() async throws {
    try await withTemporaryFolder { folder in
      let bench = try Bench(in: folder)
      let made = try await bench.run(
        "cluster", "init", bench.member, access: try bench.access())
      #expect(made.status == 0, "\(made.errors)")

      let wrong = try bench.access(password: "wrong")
      let served = try await bench.run(
        "serve", "--folder", bench.member, "--member", "a", "--region", "home", "--log-level",
        "error", access: wrong)
      let asked = try await bench.run("cluster", "status", access: wrong)
      for ended in [served, asked] {
        #expect(ended.status == ExitStatus.refused.rawValue)
        #expect(ended.output.isEmpty)
        #expect(ended.errors.contains("invalid user ID or password"), "\(ended.errors)")
        #expect(ended.errors.contains("help: give the user and password that they know"))
        #expect(ended.errors.contains("--etcd-password-file"))
        #expect(ended.errors.split(separator: "\n").count == 2, "\(ended.errors)")
      }
      let json = try await bench.run("cluster", "status", "--json", access: wrong)
      #expect(try json.error["code"].string == "cluster-refused")

      let examined = try await bench.run("cluster", "doctor", "--json", access: wrong)
      let found = try examined.json["findings"].array
      #expect(try found.first?["remedy"].string.contains("--etcd-password-file") == true)

      let stranger = try bench.access(authority: bench.files.stranger())
      let untrusted = try await bench.run("cluster", "status", access: stranger)
      #expect(untrusted.status == ExitStatus.unavailable.rawValue)
      #expect(untrusted.errors.contains("is signed by nobody who is trusted here"))
      #expect(untrusted.errors.contains("help: give the certificate of who signed those"))
      #expect(untrusted.errors.contains("--etcd-ca"))
    }
  }
}

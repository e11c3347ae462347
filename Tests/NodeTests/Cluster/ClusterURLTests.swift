import ArgumentParser
import CadastreClient
import Testing

@testable import Node

@Suite struct ClusterURLTests {
  @Test func readsWhatItWrites() throws {
    let url = try ClusterURL("etcd://a.example:2379,10.0.0.2:2379,[::1]:12379/north-1")
    #expect(url.endpoints.map(\.port) == [2379, 2379, 12379])
    #expect(url.endpoints.map(\.host) == ["a.example", "10.0.0.2", "::1"])
    #expect(url.cluster == "north-1")
    #expect(try ClusterURL(url.description) == url)
    #expect(try ClusterURL("ETCD://a:1/b").cluster == "b")
    #expect(ClusterURL.isMeant(by: "etcd://") && !ClusterURL.isMeant(by: "./etcd"))
  }

  @Test(
    arguments: [
      ("http://a:1/b", ClusterURLError.otherScheme("http://a:1/b")),
      ("etcd://user:secret@a:1/b", .credentials),
      ("etcd:///b", .noEndpoint("etcd:///b")),
      ("etcd://a:1", .noCluster("etcd://a:1")),
      ("etcd://a:1/", .noCluster("etcd://a:1/")),
      ("etcd://a:1/North", .badCluster("North")),
      ("etcd://a:1/b/c", .badCluster("b/c")),
      ("etcd://a:1,a:1/b", .repeatedEndpoint("a:1")),
      ("etcd://a:0/b", .badEndpoint("a:0", "a server has a port")),
    ] as [(String, ClusterURLError)])
  func saysWhatIsWrong(text: String, error: ClusterURLError) {
    #expect(throws: error) { try ClusterURL(text) }
    #expect(!error.description.isEmpty)
  }

  @Test(arguments: ["etcd://a/b", "etcd://a:1,/b", "etcd://a:1,:2/b", "etcd://a:70000/b"])
  func namesTheServerThatIsNone(text: String) {
    let error = #expect(throws: ClusterURLError.self) { try ClusterURL(text) }
    guard case .badEndpoint = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func serveAsksForWhatAMemberNeeds() throws {
    let log = "--log=etcd://a:2379/north"
    let member = ["--member=one", "--region=north", "--folder=./one"]
    #expect(try ServeCommand.parse([log] + member).cluster.folder == "./one")
    #expect(problem([log, "--member=one", "--region=north"])?.contains("--folder") == true)
    #expect(problem([log, "--folder=./one"])?.contains("--member") == true)
    #expect(problem([log] + member + ["--follow=a:1"])?.contains("--follow") == true)
    #expect(problem([log] + member + ["--etcd-cert=c"])?.contains("--etcd-key") == true)
    #expect(problem([log] + member + ["--etcd-user=u"])?.contains("--etcd-password-file") == true)
    #expect(problem(["--log=etcd://a/north", "--folder=x"])?.contains("no server") == true)
    #expect(throws: ValidationError.self) {
      try ServeCommand.parse(["--log=./catalog", "--folder=x"]).nodeConfiguration()
    }
    let command = try ServeCommand.parse(
      [log] + member + [
        "--etcd-ca=ca", "--etcd-cert=c", "--etcd-key=k", "--etcd-user=u", "--etcd-password-file=p",
      ])
    let access = try #require(try command.cluster.access("etcd://a:2379/north"))
    #expect(access.url.cluster == "north" && access.authority == "ca")
    #expect(access.certificate?.certificate == "c" && access.certificate?.key == "k")
    #expect(access.user == "u" && access.passwordFile == "p")
  }
}

/// What `serve` says of arguments that it does not take.
private func problem(_ arguments: [String]) -> String? {
  do {
    _ = try ServeCommand.parse(arguments)
    return nil
  } catch {
    return ServeCommand.message(for: error)
  }
}

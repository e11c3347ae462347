import Catalog
import Foundation
import Replay
import StateMachines
import Testing

@testable import Node

/// Proofs, verification and exports as a person or a script meets them.
@Suite struct AuditProofCommandTests {
  /// A log of a few versions in a folder of its own.
  private func withLog(_ body: (_ path: String, _ folder: URL) async throws -> Void) async throws {
    try await withTemporaryFolder { folder in
      let path = folder.appending(path: "log").path
      #expect(try await cadastre("init", path).status == 0)
      for key in ["m", "c", "x"] {
        #expect(try await cadastre("split", "--at", key, "--log", path).status == 0)
      }
      try await body(path, folder)
    }
  }

  private func head(of path: String) async throws -> String {
    try await cadastre("audit", "verify", "--log", path, "--json").json["head_hash"].string
  }

  @Test func aProofIsMadeAndCheckedWithoutTheLog() async throws {
    try await withLog { path, folder in
      let file = folder.appending(path: "m.proof").path
      let made = try await cadastre(
        "audit", "prove", "mm", "--at", "2", "--out", file, "--log", path, "--json")
      #expect(made.status == 0, "\(made.errors)")
      #expect(try made.json["route"]["id"].number == 2)
      let head = try await head(of: path)
      #expect(try made.json["head_hash"].string == head)
      try FileManager.default.removeItem(atPath: path)

      let checked = try await cadastre(
        "audit", "check-proof", file, "--head", "\(head)@4", "--json")
      #expect(checked.status == 0, "\(checked.errors)")
      #expect(try checked.json["version"].number == 2)
      #expect(try checked.json["route"]["start"].string == "m")
      let text = try await cadastre("audit", "check-proof", file, "--head", head)
      #expect(text.output.contains("the route of \"mm\" at version 2"))

      for arguments in [
        [file, "--head", "\(head)@3"], [file, "--head", "00" + head.dropFirst(2)],
      ] {
        let refused = try await CadastreProcess(
          ["audit", "check-proof"] + arguments + ["--json"]
        ).wait()
        #expect(refused.status == 3)
        #expect(try refused.error["code"].string == "proof-refused")
      }
      var bytes = try Data(contentsOf: URL(filePath: file))
      bytes[bytes.count / 2] ^= 1
      try bytes.write(to: URL(filePath: file))
      #expect(try await cadastre("audit", "check-proof", file, "--head", head).status == 3)
    }
  }

  @Test func whatCannotBeProvenIsSaid() async throws {
    try await withLog { path, folder in
      let file = folder.appending(path: "m.proof").path
      for (arguments, code) in [
        (["--at", "9"], "version-in-future"), (["--at", "0"], "no-routes"),
        (["--at", "4", "--head", "2"], "bad-head"), (["--at", "4", "--head", "9"], "bad-head"),
      ] {
        let ended = try await CadastreProcess(
          ["audit", "prove", "m", "--out", file, "--log", path, "--json"] + arguments
        ).wait()
        #expect(ended.status != 0)
        #expect(try ended.error["code"].string == code)
      }
      #expect(!FileManager.default.fileExists(atPath: file))
    }
  }

  @Test func aNotedHeadIsLookedForLater() async throws {
    try await withLog { path, _ in
      let noted = try await head(of: path)
      #expect(try await cadastre("split", "--at", "d", "--log", path).status == 0)
      let whole = try await cadastre(
        "audit", "verify", "--expect", "\(noted)@4", "--log", path, "--json")
      #expect(whole.status == 0, "\(whole.errors)")
      #expect(try whole.json["expected"].number == 1)
      #expect(try whole.json["signature"].isNull)
      for (expect, code) in [("\(noted)@3", "unexpected-hash"), ("\(noted)@9", "entry-missing")] {
        let ended = try await cadastre(
          "verify", "--expect", expect, "--log", path, "--json")
        #expect(ended.status == 3)
        #expect(try ended.error["code"].string == code)
      }
      #expect(try await cadastre("verify", "--expect", noted, "--log", path).status == 2)
    }
  }

  @Test func aSummaryIsSigned() async throws {
    try await withLog { path, _ in
      let unsigned = try await cadastre("audit", "verify", "--log", path)
      #expect(unsigned.output.contains("unsigned: --sign makes a key"))
      #expect(!FileManager.default.fileExists(atPath: path + "/signing.key"))
      let signed = try await cadastre("audit", "verify", "--sign", "--log", path, "--json").json
      let key = try #require(PublicKey(hexadecimal: try signed["public_key"].string))
      let signature = try #require(Signature(hexadecimal: try signed["signature"].string))
      let log = try EventLog.open(folder: path, mode: .readOnly)
      #expect(key.isValid(signature, for: try Verifier(log).verify().signedMessage))
      // The key stays, and is for its owner alone.
      let again = try await cadastre("verify", "--log", path, "--json").json
      #expect(try again["public_key"].string == "\(key)")
      let attributes = try FileManager.default.attributesOfItem(atPath: path + "/signing.key")
      #expect(attributes[.posixPermissions] as? Int == 0o600)
    }
  }

  @Test func aSignedSummaryIsCheckedWithoutTheLog() async throws {
    try await withLog { path, folder in
      let file = folder.appending(path: "summary.json")
      let signed = try await cadastre("verify", "--sign", "--log", path, "--json")
      try signed.output.write(to: file, atomically: true, encoding: .utf8)
      let (key, head) = (
        try signed.json["public_key"].string, try signed.json["head_hash"].string
      )
      let checked = try await cadastre(
        "audit", "check-summary", file.path, "--key", key, "--json")
      #expect(checked.status == 0, "\(checked.errors)")
      #expect(try checked.json["head_hash"].string == head)
      #expect(try checked.json["position"].number == 4)
      let text = try await cadastre("audit", "check-summary", file.path)
      #expect(text.output.contains("nobody vouched for"))
      #expect(text.output.contains(head))

      let other = try await cadastre(
        "audit", "check-summary", file.path, "--key", head, "--json")
      #expect(other.status == 3)
      #expect(try other.error["code"].string == "other-signer")
      let zero = String(repeating: "0", count: 64)
      for (found, put, status, code) in [
        ("\"position\":4", "\"position\":5", Int32(3), "bad-signature"),
        (head, zero, 3, "bad-signature"), ("\"head_hash\"", "\"head\"", 2, "malformed"),
        ("\"signature\"", "\"sign\"", 4, "unsigned"),
      ] {
        let text = signed.output.replacing(found, with: put)
        guard text != signed.output else {
          Issue.record("\(found) is not in \(signed.output)")
          continue
        }
        try text.write(to: file, atomically: true, encoding: .utf8)
        let refused = try await cadastre("audit", "check-summary", file.path, "--json")
        #expect(refused.status == status, "\(put)")
        #expect(try refused.error["code"].string == code, "\(put)")
      }
    }
  }

  @Test func anExportBecomesAFolderAgain() async throws {
    try await withLog { path, folder in
      let (file, target) = (
        folder.appending(path: "all.export").path, folder.appending(path: "again").path
      )
      let exported = try await cadastre("audit", "export", "--out", file, "--log", path, "--json")
      #expect(exported.status == 0, "\(exported.errors)")
      #expect(try exported.json["entries"].number == 4)
      let restored = try await cadastre("audit", "restore", file, "--into", target, "--json")
      #expect(restored.status == 0, "\(restored.errors)")
      #expect(try await head(of: target) == (try await head(of: path)))
      let twice = try await cadastre("audit", "restore", file, "--into", target, "--json")
      #expect(try twice.error["code"].string == "folder-exists")
      // It is a copy, which nobody writes by accident.
      let written = try await cadastre("split", "--at", "k", "--log", target, "--json")
      #expect(try written.error["code"].string == "is-mirror")

      let old = folder.appending(path: "old").path
      #expect(
        try await cadastre("audit", "export", "--at", "2", "--out", file, "--log", path).status
          == 0)
      #expect(try await cadastre("audit", "restore", file, "--into", old).status == 0)
      let routes = try await cadastre("routes", "--log", old, "--json").json
      #expect(try routes["routes"].array.count == 2)

      var bytes = try Data(contentsOf: URL(filePath: file))
      bytes[bytes.count - 40] ^= 1
      try bytes.write(to: URL(filePath: file))
      let bad = folder.appending(path: "bad").path
      let refused = try await cadastre("audit", "restore", file, "--into", bad, "--json")
      #expect(refused.status == 3)
      #expect(try refused.error["code"].string == "export-damaged")
      #expect(!FileManager.default.fileExists(atPath: bad))
    }
  }
}

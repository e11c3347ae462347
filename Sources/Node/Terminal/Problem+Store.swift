import CadastreClient
import Catalog
import Replay
import StateMachines

extension Problem {
  /// Says what is wrong with a folder or its log, and what to do about it.
  init(_ error: StoreError) {
    var help = error.remedy
    var details: [(name: String, value: JSON)] = []
    let (status, code): (ExitStatus, String)
    switch error {
    case .noLog: (status, code) = (.notFound, "no-log")
    case .logExists: (status, code) = (.refused, "log-exists")
    case .notALog: (status, code) = (.failed, "not-a-log")
    case .newerFormat: (status, code) = (.failed, "newer-format")
    case .needsNewerReader(let position, _):
      (status, code) = (.failed, "needs-newer-reader")
      details = [("position", JSON(position))]
    case .inUse(_, let pid):
      (status, code) = (.unavailable, "in-use")
      help =
        "ask it with --server HOST:PORT"
        + (pid.map { " where it is a server, or stop process \($0)" } ?? " or stop it")
      if let pid { details = [("pid", .number(UInt64(max(0, pid))))] }
    case .openForReading: (status, code) = (.unavailable, "in-use")
    case .otherCatalog: (status, code) = (.refused, "wrong-catalog")
    case .permissionDenied: (status, code) = (.failed, "permission-denied")
    case .readOnly: (status, code) = (.failed, "read-only")
    case .truncated: (status, code) = (.damaged, "truncated")
    case .diskFull: (status, code) = (.failed, "disk-full")
    case .logFull: (status, code) = (.failed, "log-full")
    case .tooManyReaders: (status, code) = (.unavailable, "too-many-readers")
    case .unproven(let position, .forked):
      (status, code) = (.refused, "diverged")
      details = [("position", JSON(position))]
    case .damaged(let position, _), .unproven(let position, _):
      (status, code) = (.damaged, "damaged")
      details = [("position", JSON(position))]
    case .gap(let expected, _):
      (status, code) = (.damaged, "gap")
      details = [("position", JSON(expected))]
    case .notRetained(_, let first):
      (status, code) = (.notFound, "not-retained")
      details = [("first_position", JSON(first))]
    case .poisoned(let poison):
      (status, code) = (.damaged, "poisoned")
      details = [
        ("position", JSON(poison.position)), ("hash", .string(poison.hash.description)),
        ("command_id", .string(poison.command.description)), ("actor", .string(poison.actor)),
        ("reason", .string(poison.reason)), ("refusal", .string(poison.problem)),
        ("report", JSON(poison.report)),
      ]
    case .baseDamaged: (status, code) = (.damaged, "base-damaged")
    case .checkpointDamaged(let version, _):
      (status, code) = (.damaged, "checkpoint-damaged")
      details = [("version", JSON(version))]
    case .damagedNode: (status, code) = (.damaged, "checkpoint-damaged")
    case .noCheckpoint(let version):
      (status, code) = (.notFound, "no-checkpoint")
      details = [("version", JSON(version))]
    case .wouldErase(_, let through, let first):
      (status, code) = (.refused, "would-erase")
      details = [("position", JSON(through)), ("first_position", JSON(first))]
    case .otherStream: (status, code) = (.refused, "other-stream")
    case .isMirror: (status, code) = (.refused, "is-mirror")
    case .ofCluster: (status, code) = (.refused, "of-cluster")
    case .notLeading: (status, code) = (.unavailable, "not-leading")
    case .stream(_, .exists): (status, code) = (.refused, "cluster-exists")
    case .stream(_, .missing): (status, code) = (.notFound, "no-cluster")
    case .stream(_, .refused): (status, code) = (.refused, "cluster-refused")
    case .stream(_, .untrusted): (status, code) = (.unavailable, "cluster-untrusted")
    case .stream: (status, code) = (.unavailable, "shared-stream")
    case .windowHeldBack: (status, code) = (.unavailable, "window-full")
    case .cancelled(let position):
      (status, code) = (.interrupted, "interrupted")
      details = [("position", JSON(position))]
    case .unusable: (status, code) = (.unavailable, "unusable")
    case .system: (status, code) = (.failed, "failed")
    }
    self.init(status, code: code, error.problem, help: help, details: details)
  }

  /// Says why a command was not carried out in a folder at this version; as a server would.
  init(_ failure: CommandFailure, at version: CatalogVersion) {
    if case .storage(let error) = failure {
      self.init(error)
    } else {
      self.init(NodeError(failure, current: version))
    }
  }
}

import ArgumentParser
import Replay

/// When a node makes checkpoints.
struct CheckpointOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("After how many versions. Default: 1000.", valueName: "n"))
  var checkpointVersions: UInt64?

  @Option(
    help: ArgumentHelp(
      "When there is a new version, so long after the last. Default: 5m.", valueName: "duration"),
    transform: parseDuration)
  var checkpointAge: Duration?

  func validate() throws {
    if checkpointVersions == 0 {
      throw ValidationError("--checkpoint-versions must be at least 1")
    }
  }

  var policy: CheckpointPolicy {
    var policy = CheckpointPolicy()
    if let checkpointVersions { policy.versions = checkpointVersions }
    if let checkpointAge { policy.age = checkpointAge }
    return policy
  }
}

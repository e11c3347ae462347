import ArgumentParser
import Catalog
import StateMachines

/// Which regions' streams a node leads, and how their clocks work.
struct ClockCommandOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Lead the streams of these regions, in this folder: clocks of their groups, and transactions.",
      valueName: "name,name"), transform: parseRegions)
  var leadRegion: [Region] = []

  @Option(
    help: ArgumentHelp(
      "Share the streams of --lead-region on an etcd of the region's own, so that another node leads them "
        + "when this one is gone.",
      discussion:
        "For each node that is to lead them, with a name of its own (--member). Certificates and user are "
        + "those of --etcd-….", valueName: "etcd://host:port,.../cluster"),
    transform: parseClusterURL)
  var regionLog: ClusterURL?

  @Option(
    help: ArgumentHelp(
      "Keep mirrors of these regions' streams, or lead them once they were promoted here.",
      discussion:
        "As tokyo or tokyo@host:port; without an address the leader is found among the members.",
      valueName: "name,..."), transform: parseMirroredRegions)
  var mirrorRegion: [MirroredRegion] = []

  @Option(
    help: ArgumentHelp(
      "How far ahead ceilings are raised, and how long a leader issues after it began to renew. "
        + "Default: 3s.", valueName: "duration"), transform: parseDuration)
  var clockWindow: Duration?

  @Option(
    help: ArgumentHelp("How often ceilings are renewed. Default: 1s.", valueName: "duration"),
    transform: parseDuration)
  var renewEvery: Duration?

  @Option(
    help: ArgumentHelp(
      "How far ahead of time's pace the wall clock may jump. Default: 500ms.",
      valueName: "duration"), transform: parseDuration)
  var maximumSkew: Duration?

  @Option(
    help: ArgumentHelp(
      "Stop leading regions' streams when the newest catalog was not known for so long. Default: never.",
      discussion:
        "With it, region promote needs nobody's word that the leader has stopped, once so long has passed. "
        + "A network that is cut for longer stops the region's timestamps.", valueName: "duration"),
    transform: parseDuration)
  var catalogLimit: Duration?

  var options: ClockOptions {
    var options = ClockOptions()
    if let clockWindow { options.window = clockWindow }
    if let renewEvery { options.renewEvery = renewEvery }
    if let maximumSkew { options.maximumSkew = maximumSkew }
    options.catalogLimit = catalogLimit
    return options
  }
}

/// Reads where a shared stream is.
@Sendable
func parseClusterURL(_ text: String) throws -> ClusterURL {
  do {
    return try ClusterURL(text)
  } catch {
    throw ValidationError("\(error)")
  }
}

/// Reads regions with the addresses of their leaders, where those are given.
@Sendable
func parseMirroredRegions(_ text: String) throws -> [MirroredRegion] {
  try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
    let parts = part.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    return MirroredRegion(
      try parseRegion("\(parts[0])"),
      leader: parts.count > 1 ? try parseAddress("\(parts[1])") : nil)
  }
}

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
      "The name to lead under, always the same. Default: the node's region, or \"node\".",
      valueName: "name"), transform: parseMemberName)
  var leadAs: MemberName?

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

  var options: ClockOptions {
    var options = ClockOptions()
    if let clockWindow { options.window = clockWindow }
    if let renewEvery { options.renewEvery = renewEvery }
    if let maximumSkew { options.maximumSkew = maximumSkew }
    return options
  }
}

/// Reads the name of a member.
@Sendable
func parseMemberName(_ text: String) throws -> MemberName {
  do {
    return try MemberName(text)
  } catch {
    throw ValidationError(error.description)
  }
}

import ArgumentParser
import CadastreClient
import Catalog
import StateMachines

// How words of the command line become values. A word that is none gets the whole reason, as
// `ValidationError`: the parser's own "invalid value" would not say what is allowed.

/// Reads a key in its text form.
@Sendable
func parseKey(_ text: String) throws -> Key {
  do {
    return try Key(text: text)
  } catch {
    throw ValidationError("\(error)")
  }
}

/// Reads the path of a file or folder: any but the empty one, which a script means least of all.
@Sendable
func parsePath(_ text: String) throws -> String {
  guard !text.isEmpty else { throw ValidationError("the path is empty") }
  return text
}

/// Reads the id of a route.
@Sendable
func parseRouteID(_ text: String) throws -> RouteID {
  guard let number = UInt64(text), number > 0 else {
    throw ValidationError("give a number above 0")
  }
  return RouteID(number)
}

/// Reads the id of a group.
@Sendable
func parseGroupID(_ text: String) throws -> GroupID {
  // 0 stands for no group.
  guard let number = UInt64(text), number > 0 else {
    throw ValidationError("give a number above 0")
  }
  return GroupID(number)
}

/// Reads a catalog version.
@Sendable
func parseVersion(_ text: String) throws -> CatalogVersion {
  guard let number = UInt64(text) else {
    throw ValidationError("give a number")
  }
  return CatalogVersion(number)
}

/// Reads the position of an entry.
@Sendable
func parsePosition(_ text: String) throws -> LogPosition {
  guard let number = UInt64(text) else {
    throw ValidationError("give a number")
  }
  return LogPosition(number)
}

/// Reads a command id.
@Sendable
func parseCommandID(_ text: String) throws -> CommandID {
  guard let id = CommandID(hexadecimal: text) else {
    throw ValidationError(
      "give \(CommandID.byteCount * 2) hexadecimal digits")
  }
  return id
}

/// Reads a digest.
@Sendable
func parseDigest(_ text: String) throws -> StateDigest {
  guard let digest = StateDigest(hexadecimal: text) else {
    throw ValidationError(
      "give \(StateDigest.byteCount * 2) hexadecimal digits")
  }
  return digest
}

/// Reads the name of a region.
@Sendable
func parseRegion(_ text: String) throws -> Region {
  do {
    return try Region(text)
  } catch {
    throw ValidationError(error.description)
  }
}

/// Reads the name of a route's state.
@Sendable
func parseRouteState(_ text: String) throws -> RouteState {
  guard let state = RouteState(name: text) else {
    let names = RouteState.allCases.map(\.description).joined(separator: ", ")
    throw ValidationError("give one of \(names)")
  }
  return state
}

/// Reads a duration: a number and `ms`, `s`, `m` or `h`, as `500ms` or `1.5s`.
@Sendable
func parseDuration(_ text: String) throws -> Duration {
  let units: [(suffix: String, milliseconds: Double)] = [
    ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
  ]
  let unit = units.first { text.hasSuffix($0.suffix) }
  guard let unit, let number = Double(text.dropLast(unit.suffix.count)), number >= 0,
    number * unit.milliseconds <= 1e12
  else {
    throw ValidationError("write 500ms, 3s, 2m, 1h or 30d")
  }
  return .milliseconds(Int64((number * unit.milliseconds).rounded()))
}

/// The start of `text`, so that an error about four thousand bytes stays readable.
func abbreviated(_ text: String) -> String {
  text.count <= 80 ? text : text.prefix(77) + "..."
}

/// Reads `HOST:PORT`; an IPv6 address stands in brackets.
@Sendable
func parseAddress(_ text: String) throws -> NodeAddress {
  do {
    return try NodeAddress(text)
  } catch {
    throw ValidationError(error.description)
  }
}

/// Reads names of regions with commas between.
@Sendable
func parseRegions(_ text: String) throws -> [Region] {
  try text.split(separator: ",", omittingEmptySubsequences: false).map {
    try parseRegion(String($0))
  }
}

/// Reads addresses with commas between them.
@Sendable
func parseAddresses(_ text: String) throws -> [NodeAddress] {
  try text.split(separator: ",", omittingEmptySubsequences: false).map {
    try parseAddress(String($0))
  }
}
/// Reads a member's name, or a policy's.
@Sendable
func parseMember(_ text: String) throws -> MemberName {
  do {
    return try MemberName(text)
  } catch {
    throw ValidationError("\(error)")
  }
}

/// Reads the name of a capability that this release knows.
@Sendable
func parseCapability(_ text: String) throws -> Capability {
  guard let capability = Capability(name: text) else {
    throw ValidationError(
      "this release knows \(Capability.all.map(\.name).joined(separator: ", ")), not \(text)")
  }
  return capability
}

/// Reads a region and its epoch, as `eu-west/2`.
@Sendable
func parseOrigin(_ text: String) throws -> RegionOrigin {
  let parts = text.split(separator: "/", omittingEmptySubsequences: false)
  guard parts.count == 2, let region = try? Region(parts[0]), let epoch = UInt64(parts[1]) else {
    throw ValidationError("give a region and its epoch, as eu-west/2")
  }
  return RegionOrigin(region: region, epoch: epoch)
}

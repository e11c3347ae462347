import CadastreProtocol
import Catalog

/// What a read asks of the state that answers it.
public struct ReadDemand: Hashable, Sendable {
  /// Whatever the node has.
  public static let none = ReadDemand()

  /// The answer comes from this version or a later one.
  public var minimumVersion: CatalogVersion
  /// The node knew within this time that it had everything; nil asks nothing of the kind.
  public var maximumStaleness: Duration?

  /// Asks for a version, for freshness, for both or for neither.
  public init(minimumVersion: CatalogVersion = .zero, maximumStaleness: Duration? = nil) {
    self.minimumVersion = minimumVersion
    self.maximumStaleness = maximumStaleness
  }
}

/// Which state an answer came from.
public struct ReadStamp: Hashable, Sendable {
  /// The version that the answer is true for.
  public var version: CatalogVersion
  /// When it was served, by the wall clock of the node: milliseconds since 1970.
  public var servedAtMilliseconds: UInt64
  /// How long ago the node last knew that it had everything; nil at a learner that never did.
  public var staleness: Duration?

  /// A stamp of these parts.
  public init(version: CatalogVersion, servedAtMilliseconds: UInt64, staleness: Duration?) {
    self.version = version
    self.servedAtMilliseconds = servedAtMilliseconds
    self.staleness = staleness
  }
}

/// A value with the state that it came from.
public struct Answer<Value: Sendable>: Sendable {
  /// What was asked for.
  public var value: Value
  /// The state that it came from.
  public var stamp: ReadStamp

  /// A value from a state.
  public init(_ value: Value, _ stamp: ReadStamp) {
    self.value = value
    self.stamp = stamp
  }
}

extension Cadastre_V1_ReadDemand {
  package init(_ demand: ReadDemand) {
    self.init()
    minCatalogVersion = demand.minimumVersion.rawValue
    if let staleness = demand.maximumStaleness { maxStalenessMs = staleness.wholeMilliseconds }
  }

  package var value: ReadDemand {
    ReadDemand(
      minimumVersion: CatalogVersion(minCatalogVersion),
      maximumStaleness: hasMaxStalenessMs ? Duration(boundedMilliseconds: maxStalenessMs) : nil)
  }
}

extension Cadastre_V1_ReadStamp {
  package init(_ stamp: ReadStamp) {
    self.init()
    version = stamp.version.rawValue
    servedAtMs = stamp.servedAtMilliseconds
    if let staleness = stamp.staleness { stalenessMs = staleness.wholeMilliseconds }
  }

  package var value: ReadStamp {
    ReadStamp(
      version: CatalogVersion(version), servedAtMilliseconds: servedAtMs,
      staleness: hasStalenessMs ? Duration(boundedMilliseconds: stalenessMs) : nil)
  }
}

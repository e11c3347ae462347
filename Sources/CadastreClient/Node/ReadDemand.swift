import CadastreProtocol
import Catalog

/// What a read asks of the state that answers it.
package struct ReadDemand: Hashable, Sendable {
  /// Whatever the node has.
  package static let none = ReadDemand()

  /// The answer comes from this version or a later one.
  package var minimumVersion: CatalogVersion
  /// The node knew within this time that it had everything; nil asks nothing of the kind.
  package var maximumStaleness: Duration?

  package init(minimumVersion: CatalogVersion = .zero, maximumStaleness: Duration? = nil) {
    self.minimumVersion = minimumVersion
    self.maximumStaleness = maximumStaleness
  }
}

/// Which state an answer came from.
package struct ReadStamp: Hashable, Sendable {
  /// The version that the answer is true for.
  package var version: CatalogVersion
  /// When it was served, by the wall clock of the node: milliseconds since 1970.
  package var servedAtMilliseconds: UInt64
  /// How long ago the node last knew that it had everything; nil at a learner that never did.
  package var staleness: Duration?

  package init(version: CatalogVersion, servedAtMilliseconds: UInt64, staleness: Duration?) {
    self.version = version
    self.servedAtMilliseconds = servedAtMilliseconds
    self.staleness = staleness
  }
}

/// A value with the state that it came from.
package struct Answer<Value: Sendable>: Sendable {
  package var value: Value
  package var stamp: ReadStamp

  package init(_ value: Value, _ stamp: ReadStamp) {
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

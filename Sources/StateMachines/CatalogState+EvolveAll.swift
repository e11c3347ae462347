import Catalog

/// An entry with the hash of its bytes: what a state folds.
package protocol HashedEntry: Sendable {
  var entry: LogEntry { get }
  /// The hash of the entry's bytes.
  var hash: EntryHash { get }
}

extension EncodedEntry: HashedEntry {}

extension CatalogState {
  /// Folds the next entries, which are many: checks each as ``evolve(_:hash:)`` does, and makes no
  /// version in between, so that what one entry changed the next one changes in place.
  ///
  /// All or nothing. Who wants the state before the entry that is wrong folds those before it alone.
  ///
  /// With a `worker`, that hashes the records and changes the indexes that no event reads: a digest is
  /// compared a while after the entry, so that the error may be that of a later entry than the first
  /// that does not follow. Who wants that one folds again without.
  ///
  /// - Throws: ``EvolveError`` of the first entry that does not follow. Entries that were applied
  ///   before are not passed over.
  /// - Complexity: O(*e* log *n*), *e* being the number of events and *n* that of routes.
  package mutating func evolve(
    all entries: some Sequence<some HashedEntry>, with worker: (any SerialWorker)? = nil
  ) throws(EvolveError) {
    var end = end
    var next = routes
    var members = membership
    let store = routes.store
    try next.edit(version: version, time: lastTime) { editor throws(EvolveError) in
      if let worker {
        editor.deferChanges(to: worker) { routes, entry in
          CatalogState.digest(
            ofRoutes: routes, version: entry.version, nextRouteID: entry.nextRouteID,
            entry.others)
        }
      } else {
        editor.gatherGroupChanges()
      }
      for element in entries {
        let entry = element.entry
        try end.check(entry)
        if entry.version != end.version {
          editor.beginVersion(entry.version, time: entry.time)
          for index in entry.events.indices {
            do throws(RouteTableError) {
              try editor.apply(entry.events[index])
            } catch {
              throw .doesNotApply(entry.position, event: index, error)
            }
          }
        }
        do throws(MembershipEventError) {
          try members.fold(entry.events, in: store)
        } catch {
          throw .doesNotFitMembers(entry.position, event: error.index, error.error)
        }
        if worker != nil {
          editor.expect(
            DigestExpectation(
              position: entry.position, version: entry.version, nextRouteID: editor.nextRouteID,
              others: members.digest, expected: entry.digest))
          try editor.checkDivergence()
        } else {
          let digest = CatalogState.digest(
            ofRoutes: editor.digest, version: entry.version, nextRouteID: editor.nextRouteID,
            members.digest)
          guard entry.digest == digest else {
            throw .diverged(entry.position, expected: entry.digest, found: digest)
          }
        }
        end = End(
          position: entry.position, hash: element.hash, time: entry.time, version: entry.version,
          digest: entry.digest)
      }
      editor.finishDeferred()
      try editor.checkDivergence()
    }
    routes = next
    membership = members
    (appliedThrough, lastHash, lastTime, digest) = (end.position, end.hash, end.time, end.digest)
  }

  /// Where a state ends: what the next entry has to follow.
  struct End {
    var position: LogPosition
    var hash: EntryHash
    var time: HybridTimestamp
    var version: CatalogVersion
    var digest: StateDigest

    /// That `entry` is the next one. Its events are for the routes to check.
    func check(_ entry: LogEntry) throws(EvolveError) {
      guard entry.stream == .catalog else { throw .otherStream(entry.position) }
      try ChainEnd(position: position, hash: hash, time: time).check(entry)
      let expectedVersion = try changesRoutes(entry) ? version.next : version
      guard entry.version == expectedVersion else {
        throw .wrongVersion(entry.position, expected: expectedVersion, found: entry.version)
      }
    }

    /// Whether the entry changes routes. What its notes speak of must have been by then.
    private func changesRoutes(_ entry: LogEntry) throws(EvolveError) -> Bool {
      var changesRoutes = false
      for index in entry.events.indices {
        let subject: (position: LogPosition, version: CatalogVersion)
        switch entry.events[index] {
        case .routesBootstrapped, .routeSplit, .routesMerged, .routeMoved, .routeStateChanged,
          .allowedRegionsChanged:
          changesRoutes = true
          continue
        case .membership:
          continue
        case .catalogCommitted(let commitment):
          subject = (commitment.position, commitment.version)
        case .logTrimmed(let marker):
          subject = (marker.through, marker.version)
        case .region:
          throw .doesNotFitRegion(entry.position, event: index, .otherStream)
        }
        guard subject.position <= position, subject.version <= version else {
          throw .ahead(entry.position, event: index)
        }
      }
      return changesRoutes
    }
  }

  var end: End {
    End(
      position: appliedThrough, hash: lastHash, time: lastTime, version: version, digest: digest)
  }
}

extension RouteTable.Editor {
  fileprivate func checkDivergence() throws(EvolveError) {
    guard let divergence else { return }
    throw .diverged(
      divergence.position, expected: divergence.expected, found: divergence.found)
  }
}

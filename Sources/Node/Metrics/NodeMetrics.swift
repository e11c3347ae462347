import CadastreClient
import Catalog
import Replay
import StateMachines

/// What a node counts while it works. What can be read off its state is read when somebody asks.
package final class NodeMetrics: Sendable {
  package let calls: CallMetrics
  package let commits: CommitMetrics
  package let watchers = WatcherMetrics()

  package init(clock: NodeClock) {
    calls = CallMetrics(clock: clock)
    commits = CommitMetrics(clock: clock)
  }
}

extension NodeMetrics {
  /// All metrics of a node, as text for Prometheus. Reads a page or two of the log, so it may block.
  ///
  /// No label has a route, a group, a member or anything else of which there is no bounded number.
  package func text(of core: NodeCore, regions: RegionNode?) -> String {
    var text = MetricsText()
    writeNode(core, to: &text)
    writeCatalog(core, to: &text)
    writeLearner(core, to: &text)
    writeCluster(core, to: &text)
    // The version last: a watcher may be ahead of an older one.
    watchers.write(
      watchers.reading(of: core.store.current.version, at: core.clock.now()), to: &text)
    commits.write(to: &text)
    calls.write(to: &text)
    if let regions, !regions.streams.isEmpty { regions.writeMetrics(to: &text) }
    ProcessMetrics.current().write(to: &text)
    return text.text
  }

  private func writeNode(_ core: NodeCore, to text: inout MetricsText) {
    text.begin("cadastre_build_info", .gauge, "1; the labels say which build this is.")
    text.sample(1, ("version", Release.version), ("configuration", Release.configuration))
    text.begin("cadastre_node_info", .gauge, "1; the labels say which node this is.")
    text.sample(
      1, ("role", core.role.rawValue), ("region", core.region),
      ("catalog", "\(core.store.catalog)"))
    text.gauge(
      "cadastre_healthy", "Whether the node's log is whole and takes writes: 1 or 0.",
      core.condition == nil ? 1 : 0)
    text.gauge(
      "cadastre_write_failing", "Whether the last write to the disk failed: 1 or 0.",
      core.store.writeObstacle == nil ? 0 : 1)
    text.gauge(
      "cadastre_uptime_seconds", "Time since the node opened its log.",
      (core.clock.now() - core.startedAt).inSeconds)
  }

  private func writeCatalog(_ core: NodeCore, to text: inout MetricsText) {
    let (store, state) = (core.store, core.store.current)
    text.gauge("cadastre_route_count", "Routes.", state.routes.count)
    text.gauge("cadastre_catalog_version", "The catalog's version.", state.version.rawValue)
    text.gauge(
      "cadastre_log_position", "The position of the last entry.", state.appliedThrough.rawValue)
    if let first = try? store.firstPosition() {
      text.gauge(
        "cadastre_log_first_position", "The position of the first entry that the log holds.",
        first.rawValue)
    }
    text.gauge("cadastre_log_bytes", "What the log takes on the disk.", store.logByteCount)
    text.gauge(
      "cadastre_commands_waiting", "Commands that were taken in and have no answer yet.",
      store.waitingCommandCount)
    text.gauge(
      "cadastre_checkpoint_bytes", "What the checkpoints take on the disk.",
      store.checkpoints?.allocatedByteCount ?? 0)
    if let root = try? store.newestCheckpoint() {
      let now = core.clock.wallMilliseconds()
      let then = root.header.time.milliseconds
      text.gauge(
        "cadastre_checkpoint_age_seconds",
        "Time since the last change in the newest checkpoint; absent while there is none.",
        Double(now - min(now, then)) / 1000)
      text.gauge(
        "cadastre_checkpoint_lag_versions",
        "Versions after the newest checkpoint, which a start would have to replay.",
        state.version.rawValue - min(state.version.rawValue, root.version.rawValue))
    }
    text.gauge(
      "cadastre_checkpoint_failed", "Whether the last checkpoint could not be made: 1 or 0.",
      store.checkpointCondition == nil ? 0 : 1)
  }

  private func writeLearner(_ core: NodeCore, to text: inout MetricsText) {
    guard let learner = core.learner else { return }
    text.gauge(
      "cadastre_learner_connected", "Whether the learner follows right now: 1 or 0.",
      learner.isConnected ? 1 : 0)
    text.gauge(
      "cadastre_learner_lag_entries",
      "Entries that the learner lacks of what it last heard of.", learner.lag)
    text.gauge(
      "cadastre_learner_staleness_seconds",
      "How old the learner's state may be; +Inf when it does not know.",
      core.staleness().map(\.inSeconds) ?? .infinity)
    text.counter(
      "cadastre_learner_reconnects_total", "How often the learner connected anew.",
      learner.reconnects)
    text.counter(
      "cadastre_learner_resets_total", "How often the learner took over a whole state.",
      learner.resets)
  }
}

extension NodeMetrics {
  private func writeCluster(_ core: NodeCore, to text: inout MetricsText) {
    guard let cluster = core.cluster else { return }
    text.gauge(
      "cadastre_cluster_leads", "Whether the node leads its cluster right now: 1 or 0.",
      core.role == .leader ? 1 : 0)
    text.gauge(
      "cadastre_cluster_leader_known", "Whether the node knows who leads: 1 or 0.",
      cluster.leader == nil ? 0 : 1)
    text.gauge("cadastre_cluster_term", "The last term that the node heard of.", cluster.term)
    guard core.role == .leader else { return }
    text.gauge(
      "cadastre_cluster_window_lag_entries",
      "Entries of the shared stream that its slowest member has yet to store.", cluster.lag)
    text.gauge(
      "cadastre_cluster_window_held_back_by",
      "Members that keep more than half of the allowed window from going.",
      cluster.heldBackBy.count)
  }
}

extension RegionNode {
  /// Writes what the streams are like that this node leads or mirrors: a sample for each of them, and
  /// none for a group.
  fileprivate func writeMetrics(to text: inout MetricsText) {
    let streams = streams.sorted { $0.key < $1.key }.map { region, stream in
      (name: region.name, region: region, state: stream.store.current)
    }
    text.begin(
      "cadastre_region_log_position", .gauge, "The position of the last entry of a region's stream."
    )
    for stream in streams {
      text.sample(stream.state.appliedThrough.rawValue, ("region", stream.name))
    }
    text.begin(
      "cadastre_region_groups", .gauge,
      "Groups that have a ceiling in a region's stream, by standing.")
    for stream in streams {
      var counts: [(standing: String, count: UInt64)] = [
        ("led", 0), ("vacant", 0), ("departed", 0),
      ]
      for entry in stream.state.ceilings.entries {
        let index =
          switch entry.clock.standing {
          case .led: 0
          case .vacant: 1
          case .departed: 2
          }
        let (sum, overflow) = counts[index].count.addingReportingOverflow(entry.groups.count)
        counts[index].count = overflow ? .max : sum
      }
      for (standing, count) in counts {
        text.sample(count, ("region", stream.name), ("standing", standing))
      }
    }
    let now = monotonicNow
    let leads = streams.map { (name: $0.name, leads: clocks.leads(in: $0.region)) }
    text.begin(
      "cadastre_region_leases", .gauge, "Leases that this node holds; many groups share one.")
    for stream in leads {
      text.sample(stream.leads.count { $0.lead.endsAt > now }, ("region", stream.name))
    }
    text.begin(
      "cadastre_region_leased_groups", .gauge, "Groups of which this node issues timestamps.")
    for stream in leads {
      let groups = stream.leads.filter { $0.lead.endsAt > now && $0.lead.startsAt <= now }
        .map(\.groups)
      text.sample(
        groups.reduce(UInt64(0)) { sum, groups in
          let (next, overflow) = sum.addingReportingOverflow(groups.count)
          return overflow ? .max : next
        }, ("region", stream.name))
    }
    text.begin(
      "cadastre_region_transactions_pending", .gauge, "Transactions without an outcome.")
    for stream in streams {
      text.sample(stream.state.transactions.pending.count, ("region", stream.name))
    }
  }
}

/// Which build of Cadastre this is.
enum Release {
  static let version = "0.1.0-dev"

  #if DEBUG
    static let configuration = "debug"
  #else
    static let configuration = "release"
  #endif
}

extension LinearizabilityVerdict {
  package var isLinearizable: Bool {
    if case .linearizable = self { true } else { false }
  }

  /// What to show when the verdict is not the one that was hoped for: the last of what fits, and what
  /// does not.
  package func report<Model>(_ history: [HistoryItem<Model>]) -> String {
    switch self {
    case .linearizable: return "linearizable: \(history.count) operations"
    case .gaveUp(let steps):
      return "gave up after \(steps) steps on \(history.count) operations: no verdict"
    case .violation(let longest, let stuck):
      let near = longest.suffix(8).map { "  \(history[$0])" }
      let placed = Set(longest)
      let open = history.indices.filter {
        !placed.contains($0) && $0 != stuck && history[$0].start <= history[stuck].end
      }
      return
        (["no order: \(longest.count) of \(history.count) operations fit, the last of them"] + near
        + ["and then this does not:", "  \(history[stuck])", "nor any of these first:"]
        + open.prefix(16).map { "  \(history[$0])" }).joined(separator: "\n")
    }
  }
}

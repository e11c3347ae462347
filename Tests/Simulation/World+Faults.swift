import Catalog
import StateMachines

extension World {
  /// Starts everybody, and lets things go wrong until `end`.
  func begin(troubleUntil end: Duration) {
    for node in nodes { node.start() }
    for client in clients { client.start() }
    every(faults.crashes, until: end) { [self] in crashSomebody() }
    every(faults.cuts, until: end) { [self] in cutSomething() }
    every(faults.clockFaults, until: end) { [self] in turnSomeClock() }
    every(faults.fullDisks, until: end) { [self] in fillSomeDisk() }
    every(faults.trims, until: end) { [self] in trimSomeLog() }
  }

  /// Does something about so many times a minute.
  private func every(_ times: Int, until end: Duration, _ body: @escaping () -> Void) {
    guard times > 0 else { return }
    let pause = Duration.milliseconds(random(1...(120_000 / times)))
    guard now + pause < end else { return }
    after(pause) { [self] in
      body()
      every(times, until: end, body)
    }
  }

  private func crashSomebody() {
    let node = nodes[random(0...nodes.count - 1)]
    node.crash()
    if !node.log.isDamaged, happens(faults.diskDamage * 60) {
      _ = node.log.damage(using: &generator)
    }
    let isLong = happens(200)
    after(.milliseconds(isLong ? random(6_000...20_000) : random(20...3_000))) { [self] in
      restart(node)
    }
  }

  /// Starts a node that is down. What its disk lost is brought back after a while, as an operator
  /// does with `cadastre repair`.
  private func restart(_ node: SimulatedNode) {
    node.start()
    guard node.process?.failure != nil else {
      // Damage that nobody noticed stays: the checkers see whether it is any.
      return
    }
    after(.milliseconds(random(500...8_000))) { [self] in repair(node) }
  }

  private func repair(_ node: SimulatedNode) {
    guard node.process?.failure != nil else { return }
    node.crash()
    node.log.repair()
    after(.milliseconds(random(20...500))) { node.start() }
  }

  private func cutSomething() {
    let isOfRegions = happens(500)
    let (one, other) = (random(0...nodes.count - 1), random(0...nodes.count - 1))
    func side(_ number: Int) -> [Endpoint] {
      guard isOfRegions else { return [.node(number)] }
      let region = nodes[number].region
      return nodes.filter { $0.region == region }.map { .node($0.id) }
        + clients.indices.filter { clients[$0].region == region }.map { .client($0) }
    }
    var cuts: [SimulatedNetwork.Cut] = []
    let isOneWay = happens(400)
    for from in side(one) {
      for to in side(other) where from != to {
        cuts.append(SimulatedNetwork.Cut(from: from, to: to))
        if !isOneWay { cuts.append(SimulatedNetwork.Cut(from: to, to: from)) }
      }
    }
    network.cut(cuts)
    after(.milliseconds(random(100...12_000))) { [self] in network.mend(cuts) }
  }

  private func turnSomeClock() {
    let node = nodes[random(0...nodes.count - 1)]
    switch random(0...3) {
    case 0: node.clock.wallOffset += Int64(random(-3_600_000...3_600_000))
    case 1: node.clock.wallOffset += Int64(random(-500...500))
    case 2: node.clock.stoppedAt = node.clock.wallMilliseconds(at: now)
    default: node.clock.stoppedAt = nil
    }
  }

  private func fillSomeDisk() {
    let node = nodes[random(0...nodes.count - 1)]
    node.log.isFull = true
    after(.milliseconds(random(100...5_000))) { node.log.isFull = false }
  }

  private func trimSomeLog() {
    let node = nodes[random(0...nodes.count - 1)]
    guard node.process != nil, let last = try? node.log.lastPosition(), last.rawValue > 8 else {
      return
    }
    let keep = UInt64(random(1...Int(min(last.rawValue - 1, 6))))
    if let state = oracle.state(at: LogPosition(last.rawValue - keep)) { node.log.trim(to: state) }
  }

  /// Whether clients begin new changes.
  var takesChanges: Bool { isInTrouble }

  /// Ends all trouble: what was broken is mended, who is down comes back.
  func mend() {
    isInTrouble = false
    let (drift, messageByteCount) = (faults.drift, faults.messageByteCount)
    faults = .none
    (faults.drift, faults.messageByteCount) = (drift, messageByteCount)
    network.mendAll()
    for node in nodes {
      node.log.isFull = false
      node.clock.stoppedAt = nil
      if node.process?.failure != nil {
        node.crash()
        node.log.repair()
      } else if node.process == nil, node.log.isDamaged {
        node.log.repair()
      }
      node.start()
      if node.process?.failure != nil { after(.milliseconds(100)) { [self] in repair(node) } }
    }
  }

  /// That everything is in order again, a while after the trouble ended.
  func checkLiveness() {
    guard violation == nil else { return }
    let newest = oracle.newest
    for node in nodes {
      guard let process = node.process, process.failure == nil else {
        return fail(Violation("\(node.name) is still not whole after everything was mended"))
      }
      guard process.published.appliedThrough == newest.appliedThrough else {
        return fail(
          Violation(
            "\(node.name) is still at entry \(process.published.appliedThrough), the leader at "
              + "\(newest.appliedThrough)"))
      }
      do throws(Violation) {
        try oracle.checkCommands(node.log, node.name)
      } catch {
        return fail(error)
      }
      guard let staleness = process.staleness, staleness < .seconds(3) else {
        return fail(
          Violation("\(node.name) still does not know that it is up to date"))
      }
    }
    for (id, client) in clients.enumerated() where !client.isIdle {
      return fail(Violation("client \(id) still has no answer"))
    }
  }
}

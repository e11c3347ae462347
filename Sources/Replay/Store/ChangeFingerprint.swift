import Catalog
import StateMachines

extension ChangeFingerprint {
  /// Of what a command asks for. O(*n*) in the size of the change.
  package init(of change: RouteChange) {
    var writer = Writer()
    switch change {
    case .bootstrap(let seeds): writer.add(1, seeds)
    case .split(let splits):
      writer.add(2, count: splits.count)
      for split in splits {
        writer.add(split.route?.rawValue ?? 0)
        writer.add(split.at)
      }
    case .merge(let merges):
      writer.add(3, count: merges.count)
      for merge in merges {
        writer.add(merge.left.rawValue)
        writer.add(merge.right.rawValue)
      }
    case .move(let routes, let group):
      writer.add(4, count: routes.count)
      writer.add(routes)
      writer.add(group.rawValue)
    case .setState(let routes, let state):
      writer.add(5, count: routes.count)
      writer.add(routes)
      writer.add(UInt64(state.rawValue))
    case .setAllowedRegions(let routes, let regions):
      writer.add(6, count: routes.count)
      writer.add(routes)
      writer.add(regions)
    case .arrange(let layout): writer.add(7, layout)
    case .membership(let change):
      writer.add(change)
    }
    self.init(truncating: writer.bytes.withUnsafeBytes(EntryHash.init(of:)))
  }

  /// Numbers as eight little-endian bytes; keys and names behind their lengths.
  private struct Writer {
    var bytes = Array("cadastre/change/1".utf8)

    mutating func add(_ number: UInt64) {
      withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func add(_ kind: UInt64, count: Int) {
      add(kind)
      add(UInt64(count))
    }

    mutating func add(_ kind: UInt64, _ seeds: [RouteSeedRequest]) {
      add(kind, count: seeds.count)
      for seed in seeds {
        add(seed.start)
        add(seed.group.rawValue)
        add(seed.allowedRegions)
      }
    }

    mutating func add(_ key: Key) {
      add(UInt64(key.bytes.count))
      bytes += key.bytes
    }

    mutating func add(_ text: String) {
      add(UInt64(text.utf8.count))
      bytes += text.utf8
    }

    mutating func add(_ change: MembershipChange) {
      switch change {
      case .enable(let capability):
        add(18)
        add(UInt64(capability.bit))
      case .join(let name, let address, let region, let capabilities):
        add(8)
        add(name.name)
        add(address)
        add(region.name)
        add(UInt64(capabilities.rawValue))
      case .leave(let name):
        add(9)
        add(name.name)
      case .report(let reporter, let region, let isSilent):
        add(10)
        add(reporter.name)
        add(region.name)
        add(isSilent ? 1 : 0)
      case .declareLost(let region):
        add(11)
        add(region.name)
      case .sweep(let region, let epoch, let limit):
        add(12)
        add(region.name)
        add(epoch)
        add(UInt64(clamping: limit))
      case .beginReturn(let region):
        add(13)
        add(region.name)
      case .setHomes(let groups, let region, let evenIfViolating):
        add(14, count: groups.count)
        for group in groups { add(group.rawValue) }
        add(region?.name ?? "")
        add(evenIfViolating ? 1 : 0)
      case .setLeaderPreference(let region, let order):
        add(15)
        add(region.name)
        add(order)
      case .setPromotionPolicy(let name, let span):
        add(16)
        add(name.name)
        add(span == nil ? 0 : 1)
        if let span {
          add(span.lower)
          add(span.upper == nil ? 0 : 1)
          if let upper = span.upper { add(upper) }
        }
      case .promote(let step):
        add(17, count: step.moves.count)
        add(step.region.name)
        add(step.epoch)
        bytes += step.plan.bytes
        add(step.version.rawValue)
        add(step.step)
        add(step.steps)
        for move in step.moves {
          add(move.from.rawValue)
          add(move.to.rawValue)
          add(UInt64(move.routes.count))
          add(move.routes)
        }
      case .claim(let claim, let isReplacing):
        add(18)
        add(claim.region.name)
        add(claim.epoch)
        add(claim.member.name)
        add(claim.number)
        add(claim.limit.rawValue)
        add(isReplacing ? 1 : 0)
      }
    }

    mutating func add(_ routes: [RouteID]) {
      for route in routes { add(route.rawValue) }
    }

    mutating func add(_ regions: [Region]) {
      add(UInt64(regions.count))
      for region in regions {
        add(UInt64(region.name.utf8.count))
        bytes += region.name.utf8
      }
    }
  }
}

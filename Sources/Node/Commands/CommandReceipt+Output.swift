import CadastreClient
import Catalog

extension CommandReceipt {
  /// The receipt as `--json` writes it.
  var json: JSON {
    [
      "outcome": .string(outcome.name),
      "version": JSON(version),
      "position": JSON(position),
      "command_id": .string(command.description),
      "new_routes": .array(newRoutes.map { JSON($0) }),
    ]
  }

  /// The receipt for people.
  var text: String {
    switch outcome {
    case .appended:
      "version \(version), position \(position)\(newRoutesText) (command \(command))\n"
    case .alreadyDone:
      "nothing to do: the catalog already is as asked, at version \(version)\n"
    case .repeated:
      "done before, under this command id: version \(version), position \(position)"
        + "\(newRoutesText)\n"
    }
  }

  private var newRoutesText: String {
    switch newRoutes.count {
    case 0: ""
    case 1: ", new route \(newRoutes[0])"
    case 2...8: ", new routes " + newRoutes.map(\.description).joined(separator: ", ")
    default: ", \(grouped(newRoutes.count)) new routes"
    }
  }
}

extension CommandReceipt.Outcome {
  /// The outcome's name in output.
  var name: String {
    switch self {
    case .appended: "appended"
    case .alreadyDone: "already-done"
    case .repeated: "repeated"
    }
  }
}

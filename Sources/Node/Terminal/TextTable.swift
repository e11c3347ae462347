/// Rows for people: columns aligned, numbers to the right, two spaces between.
package struct TextTable: Sendable {
  package enum Alignment: Sendable {
    case left
    case right
  }

  package struct Column: Sendable {
    package var title: String
    package var alignment: Alignment

    package static func left(_ title: String) -> Column { Column(title: title, alignment: .left) }
    package static func right(_ title: String) -> Column { Column(title: title, alignment: .right) }
  }

  private let columns: [Column]
  private var rows: [[String]] = []

  package init(_ columns: Column...) { self.columns = columns }

  /// - Precondition: A cell for each column.
  package mutating func add(_ cells: String...) {
    precondition(cells.count == columns.count, "a cell for each column")
    rows.append(cells)
  }

  /// The title line and a line for each row, each ended by a line feed. No line ends in spaces.
  package func text(style: TerminalStyle = .plain) -> String {
    let titles = columns.map(\.title)
    let widths = columns.indices.map { column in
      rows.reduce(titles[column].count) { max($0, $1[column].count) }
    }
    var text = style.faint(line(titles, widths)) + "\n"
    for row in rows { text += line(row, widths) + "\n" }
    return text
  }

  private func line(_ cells: [String], _ widths: [Int]) -> String {
    var line = ""
    for (index, cell) in cells.enumerated() {
      let padding = String(repeating: " ", count: widths[index] - cell.count)
      if index > 0 { line += "  " }
      switch columns[index].alignment {
      case .left: line += index == cells.count - 1 ? cell : cell + padding
      case .right: line += padding + cell
      }
    }
    while line.last == " " { line.removeLast() }
    return line
  }
}

/// Facts for people: names to the left, what they are in a second column.
package struct FactList: Sendable {
  private var facts: [(name: String, value: String)] = []

  package init() {}

  package mutating func add(_ name: String, _ value: some CustomStringConvertible) {
    facts.append((name, value.description))
  }

  /// A line for each fact, each ended by a line feed.
  package func text(style: TerminalStyle = .plain) -> String {
    let width = facts.reduce(0) { max($0, $1.name.count) }
    return facts.map { fact in
      let padding = String(repeating: " ", count: width - fact.name.count)
      return style.faint(fact.name) + padding + "  " + fact.value + "\n"
    }.joined()
  }
}

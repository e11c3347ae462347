/// The one of `names` that `word` is most likely a slip of; nil when it is like none of them.
/// O(*n* *m*²) for *n* names of *m* letters.
func nearest(to word: String, among names: [String]) -> String? {
  let best = names.map { (name: $0, distance: editDistance(word.lowercased(), $0.lowercased())) }
    .min { $0.distance < $1.distance }
  guard let best, best.distance <= max(2, word.count / 3) else { return nil }
  return best.name
}

/// How many letters have to be put in, taken out or changed to make one of the other (Levenshtein's
/// distance).
private func editDistance(_ left: String, _ right: String) -> Int {
  let right = Array(right)
  var row = Array(0...right.count)
  for (index, letter) in left.enumerated() {
    var diagonal = row[0]
    row[0] = index + 1
    for column in right.indices {
      let cost = letter == right[column] ? diagonal : diagonal + 1
      diagonal = row[column + 1]
      row[column + 1] = min(cost, row[column] + 1, row[column + 1] + 1)
    }
  }
  return row[right.count]
}

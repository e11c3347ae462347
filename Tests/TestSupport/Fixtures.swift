import Foundation

/// The repository's root, found from where this file was compiled.
package let repositoryFolder = URL(filePath: #filePath)
  .deletingLastPathComponent()  // TestSupport
  .deletingLastPathComponent()  // Tests
  .deletingLastPathComponent()

/// `fixtures/` in the repository's root.
package let fixturesFolder = repositoryFolder.appending(path: "fixtures")

/// Whether `CADASTRE_REGENERATE=1` asks the tests to write the golden files and stories anew
/// instead of comparing with them. Look at the difference before committing it.
package let regeneratesFixtures =
  ProcessInfo.processInfo.environment["CADASTRE_REGENERATE"] == "1"

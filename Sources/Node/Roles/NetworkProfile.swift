import CadastreClient
import Replay

/// Timeouts, intervals and sizes that fit a kind of network. Each can be set by itself as well.
package struct NetworkProfile: Sendable, CustomStringConvertible {
  package var name: String
  package var following = FollowOptions()
  package var connection = ConnectionOptions()
  /// About how many bytes of routes or entries go into a message of a stream.
  package var messageByteCount = 1 << 20

  /// One data centre, or several that are near to each other.
  package static let local = NetworkProfile(name: "local")

  /// Between continents: 100 to 300 ms of round trip, and one packet in a hundred lost.
  ///
  /// A lost packet costs at least a round trip and 200 ms, several in a row some seconds: a
  /// connection that is silent for less is not given up, since a new one takes three round trips and
  /// starts slowly. A probe a second is three under way at the least; the windows let 300 Mbit/s
  /// through at 300 ms.
  package static let wan: NetworkProfile = {
    var profile = NetworkProfile(name: "wan")
    profile.following.probeInterval = .seconds(1)
    profile.following.silenceLimit = .seconds(20)
    profile.following.firstPause = .milliseconds(250)
    profile.following.maximumPause = .seconds(10)
    profile.following.forwardTimeout = .seconds(60)
    profile.following.upstream.stalenessLimit = .seconds(10)
    profile.following.upstream.settleTime = .seconds(15)
    profile.connection.keepaliveTime = .seconds(20)
    profile.connection.keepaliveTimeout = .seconds(10)
    profile.connection.serverKeepaliveTime = .seconds(60)
    profile.connection.serverKeepaliveTimeout = .seconds(20)
    profile.connection.firstPause = .milliseconds(250)
    profile.connection.maximumPause = .seconds(10)
    profile.connection.clientWindowByteCount = 12 << 20
    profile.connection.serverWindowByteCount = 4 << 20
    profile.messageByteCount = 2 << 20
    return profile
  }()

  private init(name: String) { self.name = name }

  /// What it sets, for people.
  package var settings: [(name: String, value: String)] {
    func seconds(_ duration: Duration) -> String {
      let milliseconds = duration.wholeMilliseconds
      return milliseconds % 1000 == 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms"
    }
    return [
      ("probe", "\(seconds(following.probeInterval))"),
      ("silence limit", "\(seconds(following.silenceLimit))"),
      (
        "reconnect after",
        "\(seconds(following.firstPause)) to \(seconds(following.maximumPause))"
      ),
      ("forward timeout", "\(seconds(following.forwardTimeout))"),
      ("relay staleness", "\(seconds(following.upstream.stalenessLimit))"),
      ("relay settle", "\(seconds(following.upstream.settleTime))"),
      (
        "keepalive",
        "\(seconds(connection.keepaliveTime)) + \(seconds(connection.keepaliveTimeout))"
      ),
      ("windows", "\(connection.clientWindowByteCount >> 20) MiB"),
      ("messages", "\(messageByteCount >> 20) MiB"),
    ]
  }

  package var description: String {
    settings.map { "\($0.name) \($0.value)" }.joined(separator: ", ")
  }
}

extension NodeConfiguration {
  /// Sets what a kind of network asks for, over what was set before.
  package mutating func apply(_ profile: NetworkProfile) {
    networkProfile = profile.name
    following = profile.following
    connection = profile.connection
    limits.messageByteCount = profile.messageByteCount
  }

  /// The profile with what was set by itself.
  package var effectiveProfile: NetworkProfile {
    var profile = networkProfile == NetworkProfile.wan.name ? NetworkProfile.wan : .local
    profile.following = following
    profile.connection = connection
    profile.messageByteCount = limits.messageByteCount
    return profile
  }
}

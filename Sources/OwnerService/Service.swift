/// The owner: serves this guest's exports to the borrowers at the other ends of its links.
public final class Service {
  private var pump: Pump

  /// Opens every link that this guest owns and every device that it exports.
  ///
  /// - Parameter report: Receives sentences about what peers did wrong, at most about one a second, and about bytes that
  ///   are lost when the service ends.
  public init(_ configuration: ServiceConfiguration, report: @escaping (String) -> Void = { _ in }) throws(ServiceError) {
    pump = try Pump(configuration, report: report)
  }

  /// "uart2 on /dev/ttyAMA2" for each served peripheral.
  public var served: [String] { pump.texts }

  /// Begins a session on every channel: from here on a client finds an owner. `run` calls this if nobody has.
  ///
  /// Call `run` soon. Only `run` serves, and shows the heartbeat without which clients take an owner for gone after 2 s.
  public func start() { pump.start() }

  /// Serves until the file descriptor `stop` is readable, then answers what is under way with ECANCELED and closes its
  /// sessions. One thread at a time.
  public func run(until stop: Int32) throws(ServiceError) { try pump.run(until: stop) }

  /// Takes what every client has to say next, at most one request of each, without waiting. Returns whether there was anything.
  package func turn() -> Bool { pump.turn() }
}

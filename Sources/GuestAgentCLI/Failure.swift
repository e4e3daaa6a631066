import BrokerProtocol
import GuestAgent
import Linux
import Program
import Text
import Partition
import RingBuffer
import SharedMemory

/// What a request was about, for the sentence about its failure.
struct Subject {
  /// What was asked for: "uart2", or the link's name where the link itself was.
  let name: String
  /// The link that leads to it.
  let link: Link
  /// This guest's name.
  let guest: String

  /// The guest at the link's other end.
  var owner: String { link.peerName }

  /// Whether the link itself was asked for, and nothing behind it.
  var isLink: Bool { sameText(name, link.name) }
}

extension Failure {
  /// The same facts in other words.
  func with(sentence: String, _ exitCode: ExitCode) -> Failure {
    var other = Failure(sentence, exitCode)
    other.facts = facts
    return other
  }

  /// - Parameter isRead: It was a read, of which `error.done` bytes came.
  init(_ error: AgentError, about subject: Subject, isRead: Bool = false) {
    let name = subject.name
    let link = subject.link
    let owner = subject.owner
    let wasExecuted = executionText(error, isRead: isRead)
    switch error.reason {
    case .memory(let memory):
      let code: ExitCode
      switch memory {
      case .badLayout, .tooSmall: code = .config
      default: code = memory.isPermission ? .noPermission : .cantCreate
      }
      self.init("link \(link.name): \(memory.text)", code)
    case .regionLost(let what):
      self.init("link \(link.name): \(what); \(wasExecuted). Start brokerd on \(owner) again", .ioError)
    case .layoutMismatch(let what):
      self.init(
        "link \(link.name): \(owner) uses \(what); both guests need the same version of GuestBroker and device trees that agree",
        .proto)
    case .channelsBusy(let count, let holders):
      var who = "other processes"
      if !holders.processes.isEmpty {
        let ids = holders.processes.map { "\($0)" } + (holders.channels < count ? ["others"] : [])
        who = "\(ids.count == 1 ? "process" : "processes") \(listed(ids))"
      }
      self.init(
        "link \(link.name): all \(count) channels are in use by \(who) of this guest; end one, or raise channels in both device trees",
        .tempFail)
    case .noOwner(let silent):
      let who = subject.isLink ? owner : "\(name) is owned by \(owner), which"
      let pulse = silent < 1_000_000 ? "" : " (no heartbeat for \(durationText(silent)))"
      self.init("\(who) does not answer on link \(link.name)\(pulse); is brokerd running there?", .unavailable)
    case .ownerSilent(let silent):
      self.init(
        "\(name): \(owner) fell silent in the middle (no heartbeat for \(durationText(silent))); \(wasExecuted). Is brokerd still running there?",
        .unavailable)
    case .connectionReset:
      self.init("\(name): brokerd on \(owner) ended or restarted in the middle; \(wasExecuted)", .unavailable)
    case .noAnswer(let after):
      self.init("\(name): \(owner) lives but did not answer within \(durationText(after)); \(wasExecuted)", .tempFail)
    case .protocolError(.silent):
      self.init(
        "\(name): \(owner) gave this program up, which had been stopped for some seconds; \(wasExecuted)", .tempFail)
    case .implausible(let what):
      self.init("link \(link.name): \(owner) answers what can't be: \(what); \(wasExecuted)", .proto)
    case .protocolError(.badMemory):
      self.init("link \(link.name): \(PoisonReason.badMemory.text); \(wasExecuted)", .config)
    case .protocolError(let reason):
      self.init(
        "link \(link.name): the protocol was broken (\(reason.text)); \(wasExecuted). Are both sides the same version?", .proto)
    case .refused(let status): self.init(status, about: subject, wasExecuted: wasExecuted)
    case .tooLong(let maximum): self.init("\(name): more than \(maximum) bytes in one message", .usage)
    case .system(.interrupted): self.init("\(name): interrupted; \(wasExecuted)", .ofSignal)
    case .system(let errno): self.init("link \(link.name): cannot lock a channel of its region: \(errno.text)", .osError)
    }
  }

  /// - Parameters:
  ///   - status: What the owner answered.
  ///   - wasExecuted: How much of the request was carried out, as `executionText` says it.
  private init(_ status: Status, about subject: Subject, wasExecuted: String) {
    let name = subject.name
    let owner = subject.owner
    switch status {
    case .access:
      self.init(
        "\(name): \(owner) has not granted this to \(subject.guest); its export's clients and access say what it grants (see 'guestagent list')",
        .noPermission)
    case .noDevice:
      self.init(
        "\(name): \(owner) exports no such peripheral; does its device tree, and the name or remote-name here?", .noHost)
    case .deviceGone:
      self.init("\(name): its device on \(owner) is gone or can't be opened; \(wasExecuted)", .ioError)
    case .timedOut:
      self.init(
        "\(name): nothing moved before the deadline; \(wasExecuted). Is its flow control or far end blocked?", .tempFail)
    case .busy: self.init("\(name): the device is in use on \(owner); \(wasExecuted)", .tempFail)
    case .canceled:
      self.init("\(name): \(owner) cancelled it, because brokerd ends or the line was flushed; \(wasExecuted)", .tempFail)
    case .invalid: self.init("\(name): the device on \(owner) can't do that; \(wasExecuted)", .dataError)
    case .notSupported:
      self.init("\(name): brokerd on \(owner) doesn't know this operation; \(wasExecuted). Is it an older version?", .proto)
    default: self.init("\(name): the device on \(owner) failed (\(status.name)); \(wasExecuted)", .ioError)
    }
  }
}

/// How much of a request that failed was carried out.
private func executionText(_ error: AgentError, isRead: Bool) -> String {
  switch error.executed {
  case _ where isRead: "\(error.done) bytes were read before"
  case .no: "it was not executed"
  case .maybe where error.done > 0: "\(error.done) bytes were executed for certain, and \(error.atMost) at most"
  case .maybe where error.atMost > 0: "whether it was executed is unknown: \(error.atMost) bytes at most"
  case .maybe: "whether it was executed is unknown"
  case .yes where error.done > 0: "\(error.done) bytes were executed, no more"
  case .yes: "it was executed"
  }
}

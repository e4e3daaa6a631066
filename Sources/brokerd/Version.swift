import BrokerProtocol
import Program
import RingBuffer

var versionText: String { "brokerd \(releaseVersion) (protocol \(protocolVersion), layout \(LinkLayout.version))" }

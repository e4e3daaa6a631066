import Testing

@testable import OwnerService

@Suite("What an owner concludes from a borrower's heartbeat")
struct PulseTests {
  private let ms: UInt64 = 1_000_000

  @Test("Spec 3 §4: a borrower with something under way is suspect after 0.5 s without a heartbeat, and gone after 2 s")
  func silence() {
    var pulse = Pulse()
    pulse.look(7, attended: 0)
    pulse.look(7, attended: 500 * ms)
    #expect(pulse.finding == .alive)
    pulse.look(7, attended: 501 * ms)
    #expect(pulse.finding == .suspect)
    pulse.look(7, attended: 2000 * ms)
    #expect(pulse.finding == .suspect)
    pulse.look(7, attended: 2001 * ms)
    #expect(pulse.finding == .gone)
  }

  @Test("A heartbeat clears the suspicion")
  func beats() {
    var pulse = Pulse()
    pulse.look(7, attended: 0)
    pulse.look(7, attended: 1900 * ms)
    #expect(pulse.finding == .suspect)
    pulse.look(8, attended: 1950 * ms)
    #expect(pulse.finding == .alive)
    pulse.look(8, attended: 2400 * ms)
    #expect(pulse.finding == .alive)
  }

  @Test("Who asks for nothing need not beat, however long; the time counts from what is asked next")
  func rests() {
    var pulse = Pulse()
    pulse.look(7, attended: 0)
    pulse.rest(attended: 100 * ms)
    pulse.look(7, attended: 3_600_000 * ms)
    #expect(pulse.finding == .alive)
    pulse.look(7, attended: 3_600_400 * ms)
    #expect(pulse.finding == .alive)
  }

  @Test(
    "After the owner itself was away a new heartbeat is awaited before anything is done, for 2 s from when there is something to do"
  )
  func away() {
    var pulse = Pulse()
    pulse.distrust(7, attended: 0)
    #expect(pulse.isAwaited)
    pulse.rest(attended: 9000 * ms)
    pulse.look(7, attended: 9100 * ms)
    #expect(pulse.isAwaited && pulse.finding == .alive)
    pulse.look(7, attended: 11_100 * ms)
    #expect(pulse.isAwaited && pulse.finding == .gone)
    pulse.look(8, attended: 11_200 * ms)
    #expect(!pulse.isAwaited && pulse.finding == .alive)
  }
}

import Linux
import Testing

@Suite("Time in which a process could look")
struct AttendedClockTests {
  @Test("Short gaps count whole, a long one as 400 ms: what a paused process missed is nobody's silence")
  func gaps() {
    var clock = AttendedClock(now: 1000)
    #expect(clock.look(now: 1500) == 500)
    #expect(clock.look(now: 400_001_500) == 400_000_500)
    #expect(clock.look(now: 90_000_000_000) == 800_000_500)
    #expect(clock.look(now: 90_000_000_000) == 800_000_500)
    #expect(clock.time == 800_000_500)
  }
}

import Testing
import Text

@Suite("Durations in text")
struct DurationsTests {
  @Test(
    "Durations have units; a bare number is seconds",
    arguments: [
      ("2", 2_000_000_000), ("1.5s", 1_500_000_000), ("250us", 250_000), ("0.25ms", 250_000), ("7ns", 7),
      ("3min", 180_000_000_000),
      ("0", 0), ("1440min", 86_400_000_000_000),
    ])
  func durations(text: String, nanoseconds: UInt64) {
    #expect(parseDuration(text) == nanoseconds)
  }

  @Test(
    "What is no duration, or longer than a day, is refused",
    arguments: ["", "s", "1.2.3s", "1week", "-1s", "1441min", "18446744073709551615", ".5s", "1.1234567s"])
  func badDurations(text: String) {
    #expect(parseDuration(text) == nil)
  }
}

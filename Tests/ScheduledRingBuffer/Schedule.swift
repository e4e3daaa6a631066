import Foundation

/// Runs two bodies of real code, step by step, in every order that the memory allows: a step is an access to shared memory, or
/// the draining of a store from a processor's buffer.
///
/// An access to a word that the other body does not touch, or that neither writes, is no step: its order makes no difference. Which words
/// those are is found out by running; whenever another shared word turns up, the exploration begins anew.
///
/// Each run follows a list of choices; the next run differs in the last choice that had another alternative, until there is none
/// left. What the bodies do besides must not depend on anything but their accesses.
public final class Schedule: @unchecked Sendable {
  /// The one that is being explored. Tests that use it are serialized.
  nonisolated(unsafe) public private(set) static var current = Schedule(order: .sequential)

  /// How stores become visible (Spec/models/memory.h).
  public enum Order: Sendable, CaseIterable {
    /// At once.
    case sequential
    /// Through a buffer, in order, as on x86.
    case tso
    /// Through a buffer, stores to different words in any order, a release after all before it.
    case weak
  }

  private struct Store {
    var offset: Int
    var value: UInt64
    var release: Bool
  }

  private let order: Order
  private var memory: [Int: UInt64] = [:]
  private var buffers: [[Store]] = [[], []]
  /// Where each body stands.
  private enum State {
    case running
    /// At an access that it may make when told to.
    case ready
    /// At a fence: until its buffer is empty.
    case fencing
    /// Sleeping until a word differs from a value.
    case waiting(offset: Int, value: UInt64)
    case done
  }
  private var states: [State] = [.running, .running]
  private let turns = [DispatchSemaphore(value: 0), DispatchSemaphore(value: 0)]
  private let parked = DispatchSemaphore(value: 0)
  private var threadOf: [ObjectIdentifier: Int] = [:]
  private let lock = NSLock()

  /// The choices to follow, and what there was to choose from at each.
  private var choices: [(taken: Int, among: Int)] = []
  private var depth = 0

  /// Words whose accesses are steps.
  private let shared: Set<Int>
  private var touched: [Set<Int>] = [[], []]
  private var written: [Set<Int>] = [[], []]

  private init(order: Order, shared: Set<Int> = []) {
    self.order = order
    self.shared = shared
  }

  /// Explores every schedule of two bodies.
  ///
  /// - Parameters:
  ///   - setUp: Makes the starting state with plain code, alone; what it returns goes to both bodies.
  ///   - check: After each run, alone. Returns what is wrong, or nil.
  /// - Returns: How many schedules there were, and the first thing that was wrong.
  public static func explore<Context: Sendable>(
    _ order: Order, limit: Int = 2_000_000, setUp: () -> Context,
    _ first: @escaping @Sendable (Context) -> Void, _ second: @escaping @Sendable (Context) -> Void,
    check: (Context) -> String?
  ) -> (schedules: Int, complete: Bool, fault: String?) {
    var choices: [(taken: Int, among: Int)] = []
    var count = 0
    var shared: Set<Int> = []
    while count < limit {
      let schedule = Schedule(order: order, shared: shared)
      current = schedule
      schedule.choices = choices
      let context = setUp()
      let isStuck = schedule.run([{ first(context) }, { second(context) }])
      count += 1
      schedule.isAlone = true
      if let fault = isStuck ? "both sides wait for ever" : check(context) {
        return (count, false, "\(fault) in schedule \(schedule.choices.map { $0.taken })")
      }
      let conflicts = schedule.touched[0].intersection(schedule.written[1]).union(
        schedule.touched[1].intersection(schedule.written[0]))
      guard conflicts.isSubset(of: shared) else {
        shared.formUnion(conflicts)
        (choices, count) = ([], 0)
        continue
      }
      choices = schedule.choices
      while let last = choices.last, last.taken + 1 == last.among { choices.removeLast() }
      guard let last = choices.popLast() else { return (count, true, nil) }
      choices.append((last.taken + 1, last.among))
    }
    return (count, false, nil)
  }

  /// Before and after the bodies run, accesses take effect at once.
  private var isAlone = true

  /// Runs both bodies to their ends. Returns whether they got stuck.
  private func run(_ bodies: [@Sendable () -> Void]) -> Bool {
    isAlone = false
    for (index, body) in bodies.enumerated() {
      let thread = Thread { [self] in
        lock.withLock { threadOf[ObjectIdentifier(Thread.current)] = index }
        body()
        states[index] = .done
        parked.signal()
      }
      thread.stackSize = 1 << 18
      // One at a time, so that nothing here runs at the same time.
      thread.start()
      parked.wait()
    }
    while true {
      // What can happen next: a body's access, a drain.
      var options: [() -> Void] = []
      for index in 0..<2 {
        switch states[index] {
        case .ready: options.append { [self] in resume(index) }
        case .fencing where buffers[index].isEmpty: options.append { [self] in resume(index) }
        case .waiting(let offset, let value) where memory[offset] ?? 0 != value: options.append { [self] in resume(index) }
        default: break
        }
        for place in drainable(index) { options.append { [self] in drain(index, place) } }
      }
      guard !options.isEmpty else { break }
      options[choose(among: options.count)]()
    }
    let isStuck = states.contains { if case .done = $0 { false } else { true } }
    if isStuck { abandon() }
    return isStuck
  }

  private func choose(among count: Int) -> Int {
    defer { depth += 1 }
    if depth < choices.count {
      precondition(choices[depth].among == count || choices[depth].among == 0, "the bodies behave otherwise than last time")
      return choices[depth].taken
    }
    choices.append((0, count))
    return 0
  }

  private func resume(_ index: Int) {
    states[index] = .running
    turns[index].signal()
    parked.wait()
  }

  /// Threads that are stuck for ever are told to go on, and their accesses do nothing any more.
  private func abandon() {
    isAlone = true
    for index in 0..<2 { turns[index].signal() }
  }

  /// Which entries of a buffer may drain next.
  private func drainable(_ index: Int) -> [Int] {
    let buffer = buffers[index]
    guard !buffer.isEmpty else { return [] }
    guard order == .weak else { return [0] }
    return buffer.indices.filter { place in
      place == 0 || !buffer[place].release && !buffer[..<place].contains { $0.offset == buffer[place].offset }
    }
  }

  private func drain(_ index: Int, _ place: Int) {
    let store = buffers[index].remove(at: place)
    memory[store.offset] = store.value
  }

  private var index: Int { lock.withLock { threadOf[ObjectIdentifier(Thread.current)] ?? 0 } }

  /// Parks the calling body until the schedule lets it go on.
  private func pause(_ state: State) {
    let index = self.index
    states[index] = state
    parked.signal()
    turns[index].wait()
  }

  func load(_ offset: Int) -> UInt64 {
    if isAlone { return memory[offset] ?? 0 }
    let index = self.index
    touched[index].insert(offset)
    guard shared.contains(offset) else { return memory[offset] ?? 0 }
    pause(.ready)
    return buffers[index].last { $0.offset == offset }?.value ?? memory[offset] ?? 0
  }

  func store(_ offset: Int, _ value: UInt64, release: Bool) {
    guard !isAlone else { return memory[offset] = value }
    let index = self.index
    touched[index].insert(offset)
    written[index].insert(offset)
    guard shared.contains(offset) else { return memory[offset] = value }
    pause(.ready)
    if order == .sequential {
      memory[offset] = value
    } else {
      buffers[index].append(Store(offset: offset, value: value, release: release))
    }
  }

  func fence() {
    if isAlone || order == .sequential { return }
    pause(.fencing)
  }

  /// Sleeps until `word` differs from `value`, as futex(2) does: no time limit here, so that a lost wake-up is a stuck run.
  public func wait(_ word: SharedWord, while value: UInt32) {
    if isAlone { return }
    // The kernel's look is at memory, and after what this processor stored.
    touched[index].insert(word.offset)
    pause(.fencing)
    pause(.waiting(offset: word.offset, value: UInt64(value)))
  }
}

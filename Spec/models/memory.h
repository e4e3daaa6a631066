/*
 * Memory as processors see each other's: what one stores lands in its own buffer first and drains into memory later.
 *
 * TSO: a buffer drains in order, as on x86. WEAK: stores to different words drain in any order, as on Arm and RISC-V, but a
 * release only after all that were made before it. A fence waits until the own buffer is empty. A load sees the own
 * buffer first. Loads are not reordered among themselves: acquire loads, which is what the sources have at these
 * places, allow nothing else on the machines that Swift has.
 *
 * A model defines WORDS (of memory) and DEPTH (of a buffer), and uses processors 0 and 1.
 */
typedef Buffer {
	byte count;
	byte address[DEPTH];
	byte value[DEPTH];
	bool release[DEPTH]
};

byte mem[WORDS];
Buffer buffers[2];

#define store(cpu, a, v) put(cpu, a, v, false)
#define storeReleasing(cpu, a, v) put(cpu, a, v, true)

inline put(cpu, a, v, isRelease)
{
	atomic {
		buffers[cpu].count < DEPTH ->
		buffers[cpu].address[buffers[cpu].count] = a;
		buffers[cpu].value[buffers[cpu].count] = v;
		buffers[cpu].release[buffers[cpu].count] = isRelease;
		buffers[cpu].count++
	}
}

hidden byte li;
inline load(cpu, a, into)
{
	d_step {
		into = mem[a];
		li = 0;
		do
		:: li < buffers[cpu].count ->
			if
			:: buffers[cpu].address[li] == a -> into = buffers[cpu].value[li]
			:: else
			fi;
			li++
		:: else -> break
		od
	}
}

inline fence(cpu) { buffers[cpu].count == 0 }

/* Takes the entry at `at` out of the buffer and puts it into memory. */
inline drain(cpu, at)
{
	d_step {
		mem[buffers[cpu].address[at]] = buffers[cpu].value[at];
		li = at;
		do
		:: li + 1 < buffers[cpu].count ->
			buffers[cpu].address[li] = buffers[cpu].address[li + 1];
			buffers[cpu].value[li] = buffers[cpu].value[li + 1];
			buffers[cpu].release[li] = buffers[cpu].release[li + 1];
			li++
		:: else -> break
		od;
		buffers[cpu].count--;
		buffers[cpu].address[buffers[cpu].count] = 0;
		buffers[cpu].value[buffers[cpu].count] = 0;
		buffers[cpu].release[buffers[cpu].count] = false
	}
}

/* Whether the entry at `at`, 1 or more, may overtake those before it. */
#define mayOvertake(cpu, at) \
	(at < buffers[cpu].count && !buffers[cpu].release[at] && buffers[cpu].address[at] != buffers[cpu].address[0] && \
	 (at < 2 || buffers[cpu].address[at] != buffers[cpu].address[1]) && \
	 (at < 3 || buffers[cpu].address[at] != buffers[cpu].address[2]))

proctype drainer(byte cpu)
{
end:	do
	:: atomic { buffers[cpu].count > 0 -> drain(cpu, 0) }
#ifdef WEAK
	:: atomic { mayOvertake(cpu, 1) -> drain(cpu, 1) }
#if DEPTH > 2
	:: atomic { mayOvertake(cpu, 2) -> drain(cpu, 2) }
#endif
#if DEPTH > 3
	:: atomic { mayOvertake(cpu, 3) -> drain(cpu, 3) }
#endif
#endif
	od
}

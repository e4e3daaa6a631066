/*
 * Spec 2 §6: a sleeper that samples the doorbell, arms, fences, looks again and sleeps misses nothing of a publisher that publishes, fences and looks
 * whether it sleeps; and it is rung for at most once a sleep. There is no timeout here: a lost wake-up is a deadlock.
 *
 * Mutations: NO_PUBLISHER_FENCE NO_SLEEPER_FENCE NO_LAST_LOOK LATE_SAMPLE RING_ALWAYS
 */
#define WORDS 3
#define DEPTH 3
#define MESSAGES 3
#define HEADER 0    /* how many messages are published */
#define SLEEPS 1    /* odd while the sleeper sleeps */
#define DOORBELL 2
#include "memory.h"

bool waiting = false;   /* in the kernel, on the doorbell word */
byte rings = 0;
byte sleepsBegun = 0;

/* Processor 0 */
proctype publisher()
{
	byte sent = 0, theirs, rung = 0, bell = 0;
	do
	:: sent < MESSAGES ->
		sent++;
		storeReleasing(0, HEADER, sent);
#ifndef NO_PUBLISHER_FENCE
		fence(0);
#endif
		load(0, SLEEPS, theirs);
		if
#ifdef RING_ALWAYS
		:: true ->
#else
		:: theirs % 2 == 1 && theirs != rung ->
#endif
			rung = theirs;
			bell++;
			store(0, DOORBELL, bell);
			rings++;
			/* The kernel, which fences and wakes who waits. */
			fence(0);
			waiting = false
		:: else
		fi
	:: else -> break
	od
}

/* Processor 1 */
proctype sleeper()
{
	byte received = 0, found, sampled, sleeps = 0;
	do
	:: received == MESSAGES -> break
	:: else ->
		load(1, HEADER, found);
		if
		:: found > received -> received = found
		:: else ->
#ifndef LATE_SAMPLE
			load(1, DOORBELL, sampled);
#endif
			sleeps++;
			sleepsBegun++;
			store(1, SLEEPS, sleeps);
#ifdef LATE_SAMPLE
			/* A ring for this sleep may be in it already, for a message that was received before. */
			load(1, DOORBELL, sampled);
#endif
#ifndef NO_SLEEPER_FENCE
			fence(1);
#endif
#ifdef NO_LAST_LOOK
			found = received;
#else
			load(1, HEADER, found);
#endif
			if
			:: found > received
			:: else ->
				/* The kernel compares and sleeps in one. */
				atomic {
					if
					:: mem[DOORBELL] == sampled -> waiting = true
					:: else
					fi
				}
				!waiting
			fi;
			sleeps++;
			store(1, SLEEPS, sleeps)
		fi
	od;
	assert(rings <= sleepsBegun)
}

init { atomic { run drainer(0); run drainer(1); run publisher(); run sleeper() } }

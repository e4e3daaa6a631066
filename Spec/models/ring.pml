/*
 * Spec 2 §4 and §5: messages of one and two lines come through a ring of four lines in order and whole, through every wrap of the
 * ring and of the position, which has four bits here and begins just below its wrap.
 *
 * Mutations: PLAIN_STAMP EARLY_STAMP NO_CONTINUATION_STAMP EARLY_CREDIT IGNORE_CREDIT
 */
#define LINES 4
#define WORDS 13
#define DEPTH 4
#define STAMP(p) ((p) % LINES)          /* 0: nothing; else 16 + position */
#define LENGTH(p) (LINES + (p) % LINES)
#define PAYLOAD(p) (2 * LINES + (p) % LINES)
#define CREDIT 12
#define POSITIONS 16
#define START 13
#define MESSAGES 7
#include "memory.h"

/* Message number m has 1 or 2 lines. Its payload is m in the first line and m + 100 in the second. */
byte sizes[MESSAGES];

/* Processor 0 */
proctype producer()
{
	byte next = START, seen = START, credit, m = 0, size;
	do
	:: m < MESSAGES ->
		if
		:: size = 1
		:: size = 2
		fi;
		sizes[m] = size;
		do
#ifdef IGNORE_CREDIT
		:: break
#endif
		:: (next + POSITIONS - seen) % POSITIONS + size <= LINES -> break
		:: else ->
			load(0, CREDIT, credit);
			/* Never more than was sent, never less than before. */
			assert((credit + POSITIONS - seen) % POSITIONS <= (next + POSITIONS - seen) % POSITIONS);
			if
			:: credit == seen -> mem[CREDIT] != seen
			:: else -> seen = credit
			fi
		od;
#ifdef EARLY_STAMP
		storeReleasing(0, STAMP(next), POSITIONS + next);
#endif
		store(0, PAYLOAD(next), m);
		if
		:: size == 2 ->
			store(0, PAYLOAD(next + 1), m + 100);
#ifndef NO_CONTINUATION_STAMP
			store(0, STAMP(next + 1), 0)
#endif
		:: else
		fi;
		store(0, LENGTH(next), size);
#ifdef PLAIN_STAMP
		store(0, STAMP(next), POSITIONS + next);
#else
#ifndef EARLY_STAMP
		storeReleasing(0, STAMP(next), POSITIONS + next);
#endif
#endif
		next = (next + size) % POSITIONS;
		m++
	:: else -> break
	od
}

/* Processor 1 */
proctype consumer()
{
	byte position = START, m = 0, stamp, length, payload;
	do
	:: m < MESSAGES ->
		load(1, STAMP(position), stamp);
		if
		:: stamp == POSITIONS + position ->
			load(1, LENGTH(position), length);
			assert(length == sizes[m]);
#ifdef EARLY_CREDIT
			storeReleasing(1, CREDIT, (position + length) % POSITIONS);
#endif
			load(1, PAYLOAD(position), payload);
			assert(payload == m);
			if
			:: length == 2 ->
				load(1, PAYLOAD(position + 1), payload);
				assert(payload == m + 100)
			:: else
			fi;
			position = (position + length) % POSITIONS;
#ifndef EARLY_CREDIT
			storeReleasing(1, CREDIT, position);
#endif
			m++
		:: else ->
			/* Nothing, a continuation, or the previous lap's message; all else would poison an honest peer. */
			assert(stamp == 0 || stamp == POSITIONS + (position + POSITIONS - LINES) % POSITIONS);
			mem[STAMP(position)] != stamp
		fi
	:: else -> break
	od
}

init { atomic { mem[CREDIT] = START; run drainer(0); run drainer(1); run producer(); run consumer() } }

/*
 * Spec 2 §4 and §5: messages that share a line, fill one or take two come through a ring of four lines in order and whole, sent one by
 * one or published together, through every wrap of the ring and of the position, which begins just below its wrap.
 *
 * A line has two slots here, a tag two bits, the lap two. Lines are counted modulo 16, a position is 4 times the line plus the slot.
 *
 * Mutations: PLAIN_HEADER HEADER_FIRST NO_HOLD HELD_FIRST EARLY_CREDIT IGNORE_CREDIT
 */
#define LINES 4
#define WORDS 13
#define DEPTH 4
#define MESSAGES 4
#define START 15
#define HEADER(l) ((l) % LINES)                        /* lap * 16 + tag of slot 2 * 4 + tag of slot 1 */
#define SLOT(l, k) (LINES + 2 * ((l) % LINES) + (k) - 1)
#define CREDIT 12
#define LAP(l) (((l) / LINES % 4) * 16)
#define TAG(h, k) ((h) >> (2 * (k) - 2) & 3)
#define NOTHING 0
#define LAST 1
#define MORE 2
#define SKIP 3
#define NONE 255
#include "memory.h"

/* Slots of message number m. The payload of its slot i is m + 8 * i. */
byte sizes[MESSAGES];

#define SET(k, tag) header = header | (tag) << (2 * (k) - 2)

inline nextLine()
{
	if
	:: behind && held == NONE -> held = line; heldHeader = header
#ifdef NO_HOLD
		; storeReleasing(0, HEADER(held), heldHeader)
#endif
	:: behind && held != NONE -> store(0, HEADER(line), header)
	:: else
	fi;
	behind = false;
	line = (line + 1) % 16;
	free = 2;
	header = LAP(line)
}

inline publish()
{
	if
	:: held != NONE ->
#ifdef HELD_FIRST
		storeReleasing(0, HEADER(held), heldHeader);
#endif
		if
		:: behind -> store(0, HEADER(line), header)
		:: else
		fi;
#ifndef HELD_FIRST
		storeReleasing(0, HEADER(held), heldHeader);
#endif
		held = NONE
	:: held == NONE && behind ->
#ifdef PLAIN_HEADER
		store(0, HEADER(line), header)
#else
		storeReleasing(0, HEADER(line), header)
#endif
	:: else
	fi;
	behind = false
}

/* Waits for credit for `count` lines besides the current one. */
inline room(count)
{
	do
#ifdef IGNORE_CREDIT
	:: break
#endif
	:: (line + 17 - seen / 4) % 16 + count <= LINES -> break
	:: else ->
		publish();
		load(0, CREDIT, credit);
		/* Never more than was sent, never less than before. */
		assert((credit + 64 - seen) % 64 <= (4 * line + 4 - (free == 2 -> 4 : free) + 64 - seen) % 64);
		if
		:: credit == seen -> mem[CREDIT] != seen
		:: else -> seen = credit
		fi
	od
}

/* Processor 0 */
proctype producer()
{
	byte line = START - 1, free = 0, header = 0, held = NONE, heldHeader, seen = 4 * START, credit, m = 0, size, done;
	bool behind = false;
	do
	:: m < MESSAGES ->
		if
		:: size = 1
		:: size = 2
		:: size = 3
		fi;
		sizes[m] = size;
		if
		:: size <= free
		:: size > free && size <= 2 ->
			room(1);
			if
			:: free == 1 -> SET(2, SKIP); behind = true
			:: else
			fi;
			nextLine()
		:: size > 2 -> room(2)
		fi;
		done = 0;
		do
		:: done < size ->
			if
			:: free == 0 -> nextLine()
			:: else
			fi;
			SET(3 - free, (done + 1 == size -> LAST : MORE));
			behind = true;
#ifdef HEADER_FIRST
			if
			:: done == 0 && held == NONE -> storeReleasing(0, HEADER(line), header)
			:: else
			fi;
#endif
			store(0, SLOT(line, 3 - free), m + 8 * done);
			free--;
			done++
		:: else -> break
		od;
		if
		:: free == 1 && size == 2 -> SET(2, SKIP); free = 0; publish()
		:: publish()
		:: m + 1 < MESSAGES  /* with the next one */
		fi;
		m++
	:: else -> break
	od
}

inline giveCredit()
{
	if
	:: given != 4 * line + (slot == 1 -> 0 : slot) ->
		given = (4 * line + (slot == 1 -> 0 : slot)) % 64;
		storeReleasing(1, CREDIT, given)
	:: else
	fi
}

/* Processor 1 */
proctype consumer()
{
	byte line = START, slot = 1, header = 0, given = 4 * START, m = 0, done, payload, found;
	do
	:: m < MESSAGES ->
		if
		:: slot == 3 || TAG(header, slot) == SKIP -> line = (line + 1) % 16; slot = 1; header = 0
		:: else
		fi;
		if
		:: TAG(header, slot) == NOTHING ->
			load(1, HEADER(line), found);
			if
			:: (found & 48) == LAP(line) && TAG(found, slot) != NOTHING ->
				assert(TAG(found, slot) != SKIP || slot != 1);
				header = found
			:: else ->
				/* Nothing, or the previous lap's messages; all else would poison an honest peer. */
				assert((found & 48) == LAP(line) || slot == 1 && (found == 0 || (found & 48) == LAP(line + 16 - LINES)));
				giveCredit();
				mem[HEADER(line)] != found
			fi
		:: TAG(header, slot) == LAST || TAG(header, slot) == MORE ->
			done = 0;
#ifdef EARLY_CREDIT
			storeReleasing(1, CREDIT, (4 * line + 4) % 64);
			given = (4 * line + 4) % 64;
#endif
			do
			:: slot == 3 ->
				line = (line + 1) % 16;
				slot = 1;
				load(1, HEADER(line), header);
				assert((header & 48) == LAP(line));
				assert(TAG(header, 1) == LAST || TAG(header, 1) == MORE)
			:: else ->
				load(1, SLOT(line, slot), payload);
				assert(payload == m + 8 * done);
				done++;
				slot++;
				if
				:: TAG(header, slot - 1) == LAST -> break
				:: else
				fi
			od;
			assert(done == sizes[m]);
			if
			:: (4 * line + 64 - given) % 64 >= LINES -> giveCredit()
			:: else
			fi;
			m++
		fi
	:: else -> break
	od
}

init { atomic { mem[CREDIT] = 4 * START; run drainer(0); run drainer(1); run producer(); run consumer() } }

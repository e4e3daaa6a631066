/*
 * Spec 3 §6: a request whose sender was told that it was not executed never is, whatever either side does meanwhile: the owner may
 * die and come back, and its successor resets the credit.
 *
 * Mutations: NO_SENDER_FENCE NO_OWNER_FENCE NO_OWNER_CHECK NO_SUCCESSOR_CHECK CREDIT_AFTER_EXECUTION
 */
#define WORDS 4
#define DEPTH 3
#define STAMP 0
#define CREDIT 1
#define SENDER_SESSION 2
#define OWNER_SESSION 3
#include "memory.h"

bool executed = false, toldNo = false, senderDone = false;

/* Processor 0: its session is 1, then 2; the owner's is 5, its successor's 6. */
proctype sender()
{
	byte credit, theirs;
	storeReleasing(0, STAMP, 1);
	/* No answer came. */
	storeReleasing(0, SENDER_SESSION, 2);
#ifndef NO_SENDER_FENCE
	fence(0);
#endif
	load(0, CREDIT, credit);
	if
	:: credit == 1
	:: else ->
#ifdef NO_SUCCESSOR_CHECK
		theirs = 5;
#else
		load(0, OWNER_SESSION, theirs);
#endif
		if
		:: theirs == 5 || theirs == 0 -> toldNo = true
		:: else
		fi
	fi;
	senderDone = true
}

/* Processor 1 */
proctype owner()
{
	byte stamp, theirs;
	if
	:: true ->
		load(1, STAMP, stamp);
		if
		:: stamp == 1 ->
#ifndef CREDIT_AFTER_EXECUTION
			storeReleasing(1, CREDIT, 1);
#endif
#ifndef NO_OWNER_FENCE
			fence(1);
#endif
			load(1, SENDER_SESSION, theirs);
#ifdef NO_OWNER_CHECK
			theirs = 1;
#endif
			if
			:: theirs == 1 -> executed = true
			:: else
			fi;
#ifdef CREDIT_AFTER_EXECUTION
			storeReleasing(1, CREDIT, 1);
#endif
		:: else
		fi
	:: true  /* dies before it looks */
	fi;
	/* It ends in good order, dies and stays dead, or dies and is followed by another, which acknowledges afresh. */
	if
	:: storeReleasing(1, OWNER_SESSION, 0)
	:: true
	:: fence(1);
		storeReleasing(1, OWNER_SESSION, 6);
		storeReleasing(1, CREDIT, 0)
	fi;
	(senderDone && buffers[1].count == 0);
	assert(!(executed && toldNo))
}

init {
	atomic {
		mem[SENDER_SESSION] = 1;
		mem[OWNER_SESSION] = 5;
		run drainer(0); run drainer(1); run sender(); run owner()
	}
}

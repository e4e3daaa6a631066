/*
 * Spec 3 §6: a request whose sender was told that it was not executed never is, whatever either side does meanwhile: the owner may take
 * up the sender's next session, or die and come back; both reset the credit.
 *
 * Mutations: NO_SENDER_FENCE NO_OWNER_FENCE NO_OWNER_CHECK NO_ACKNOWLEDGED_CHECK NO_SUCCESSOR_CHECK RESET_BEFORE_ACKNOWLEDGED CREDIT_AFTER_EXECUTION
 */
#define WORDS 5
#define DEPTH 3
#define HEADER 0
#define CREDIT 1
#define SENDER_SESSION 2
#define ACKNOWLEDGED 3   /* by the owner */
#define OWNER_SESSION 4
#include "memory.h"

bool executed = false, toldNo = false, senderDone = false;

/* Processor 0: its session is 1, then 2; the owner's is 5, its successor's 6. */
proctype sender()
{
	byte credit, acknowledged, theirs;
	storeReleasing(0, HEADER, 1);
	/* No answer came. */
	storeReleasing(0, SENDER_SESSION, 2);
#ifndef NO_SENDER_FENCE
	fence(0);
#endif
	load(0, CREDIT, credit);
	if
	:: credit == 1
	:: else ->
#ifdef NO_ACKNOWLEDGED_CHECK
		acknowledged = 1;
#else
		load(0, ACKNOWLEDGED, acknowledged);
#endif
#ifdef NO_SUCCESSOR_CHECK
		theirs = 5;
#else
		load(0, OWNER_SESSION, theirs);
#endif
		if
		:: acknowledged == 1 && theirs == 5 -> toldNo = true
		:: else
		fi
	fi;
	senderDone = true
}

/* The owner begins a session with whatever the sender's is. */
inline takeUp()
{
#ifdef RESET_BEFORE_ACKNOWLEDGED
	storeReleasing(1, CREDIT, 0);
	storeReleasing(1, ACKNOWLEDGED, 0);
#else
	storeReleasing(1, ACKNOWLEDGED, 0);
	storeReleasing(1, CREDIT, 0);
#endif
	storeReleasing(1, ACKNOWLEDGED, theirs)
}

/* Processor 1 */
proctype owner()
{
	byte header, theirs;
	if
	:: true ->
		load(1, HEADER, header);
		if
		:: header == 1 ->
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
	/* It ends in good order or dies; or it takes up the new session; or it dies and is followed by another. */
	if
	:: true
	:: load(1, SENDER_SESSION, theirs);
		if
		:: theirs == 2 -> takeUp()
		:: else
		fi
	:: fence(1);
		store(1, ACKNOWLEDGED, 0);
		storeReleasing(1, OWNER_SESSION, 6);
		load(1, SENDER_SESSION, theirs);
		takeUp()
	fi;
	(senderDone && buffers[1].count == 0);
	assert(!(executed && toldNo))
}

init {
	atomic {
		mem[SENDER_SESSION] = 1;
		mem[ACKNOWLEDGED] = 1;
		mem[OWNER_SESSION] = 5;
		run drainer(0); run drainer(1); run sender(); run owner()
	}
}

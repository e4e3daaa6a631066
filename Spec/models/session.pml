/*
 * Spec 3 §2 and §3: two sides that may die at any step and come back meet again; and a message is taken only in the session that it
 * was sent in. Side 0 sends, side 1 receives, through a ring of two lines. Positions begin at 0 in each session here, so that
 * nothing but the clearing of the ring keeps old messages out.
 *
 * Side 0 is the owner, side 1 the borrower, of which Spec 3 §6 says besides: when the owner notices that a session is over, the credit word
 * says exactly what the borrower had received in it.
 *
 * Mutations: HASTY_BORROWER CREDIT_LOOKED_AT_LATE NO_CLEAR ACKNOWLEDGE_BEFORE_CLEAR PLAIN_ACKNOWLEDGED STALE_SESSION PLAIN_SESSION
 */
#define WORDS 9
#define DEPTH 4
#define SESSION(s) (s)
#define ACKNOWLEDGED(s) (2 + (s))
#define HEADER(p) (4 + (p) % 2)
#define PAYLOAD(p) (6 + (p) % 2)
#define CREDIT 8
#define DEATHS 1        /* of each side */
#include "memory.h"

/* Sessions of side 0 are 1, 3, 5, …; of side 1, 2, 4, 6, … */
byte nextSession[2];
byte deaths[2];
bool established[2];
/* What both sides call the session that they share: what each has acknowledged. For assertions alone. */
byte own[2];
byte acked[2];
/* What side 1 received in each of its sessions, and from which of side 0's. */
byte received[12];
byte receivedFrom[12];

inline begin(me)
{
	own[me] = nextSession[me];
	nextSession[me] = nextSession[me] + 2;
	acked[me] = 0;
	established[me] = false;
	position = 0;
	credit = 0;
	store(me, ACKNOWLEDGED(me), 0);
#ifdef PLAIN_SESSION
	store(me, SESSION(me), own[me])
#else
	storeReleasing(me, SESSION(me), own[me])
#endif
}

proctype side(byte me)
{
	byte theirs, theirAcknowledged, position, credit, header, payload;
	begin(me);
	do
	/* Death: what was stored still drains; what was known is gone. */
	:: deaths[me] < DEATHS -> deaths[me]++; fence(me); begin(me)

	/* One look at the peer's words. */
	:: load(me, SESSION(1 - me), theirs);
		load(me, ACKNOWLEDGED(1 - me), theirAcknowledged);
		if
		:: theirs != acked[me] ->
			if
			:: acked[me] != 0 ->
#ifdef CREDIT_LOOKED_AT_LATE
				storeReleasing(me, ACKNOWLEDGED(me), 0);
#endif
				if
				:: me == 0 && established[0] ->
					load(0, CREDIT, credit);
					assert(credit == (receivedFrom[acked[0] / 2] == own[0] -> received[acked[0] / 2] : 0))
				:: else
				fi;
				acked[me] = 0;
				storeReleasing(me, ACKNOWLEDGED(me), 0)
			:: else
			fi;
			established[me] = false;
			if
#ifdef HASTY_BORROWER
			:: theirs != 0 ->
#else
			:: theirs != 0 && (me == 0 || theirAcknowledged == 0 || theirAcknowledged == own[1]) ->
#endif
#ifdef ACKNOWLEDGE_BEFORE_CLEAR
				storeReleasing(me, ACKNOWLEDGED(me), theirs);
#endif
				position = 0;
				credit = 0;
				if
				:: me == 0 ->
#ifndef NO_CLEAR
					store(0, HEADER(0), 0);
					store(0, HEADER(1), 0)
#endif
				:: else ->
					storeReleasing(1, CREDIT, 0)
				fi;
				acked[me] = theirs;
#ifndef ACKNOWLEDGE_BEFORE_CLEAR
#ifdef PLAIN_ACKNOWLEDGED
				store(me, ACKNOWLEDGED(me), theirs)
#else
				storeReleasing(me, ACKNOWLEDGED(me), theirs)
#endif
#endif
			:: else
			fi
		:: else ->
			if
#ifdef STALE_SESSION
			:: acked[me] != 0 && !established[me] -> established[me] = true
#else
			:: acked[me] != 0 && !established[me] && theirAcknowledged == own[me] -> established[me] = true
#endif
			:: established[me] && theirAcknowledged != own[me] && nextSession[me] < 20 -> begin(me)
			:: else
			fi
		fi

	/* Side 0 sends: the payload says in which pair of sessions. */
	:: me == 0 && established[0] && position < 2 ->
		load(0, CREDIT, credit);
		if
		:: position >= credit && position - credit < 2 ->
			store(0, PAYLOAD(position), own[0] * 16 + acked[0]);
			storeReleasing(0, HEADER(position), 10 + position);
			position++
		:: else
		fi

	/* Side 1 receives. */
	:: me == 1 && established[1] && position < 2 ->
		load(1, HEADER(position), header);
		if
		:: header == 10 + position ->
			load(1, PAYLOAD(position), payload);
			/* What was sent in another session is taken only while its end has not been noticed: in the acknowledged one. */
			assert(payload == acked[1] * 16 + own[1]);
			position++;
			received[own[1] / 2] = position;
			receivedFrom[own[1] / 2] = acked[1];
			storeReleasing(1, CREDIT, position)
		:: else
		fi

	/* Both sides live on and agree. */
	:: deaths[0] == DEATHS && deaths[1] == DEATHS && established[0] && established[1] && acked[0] == own[1] && acked[1] == own[0] &&
		buffers[0].count == 0 && buffers[1].count == 0 -> break
	od
}

init { atomic { nextSession[0] = 1; nextSession[1] = 2; run drainer(0); run drainer(1); run side(0); run side(1) } }

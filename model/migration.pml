/*
 * A migration with free-page hints, as Spin sees it: the host's migration thread, the device's hint thread, the guest's balloon driver,
 * its memory (writers, allocator, shrinker, and what it gives back to the host), the destination, and what may happen at any moment: the
 * link breaks, a person pauses the guest or cancels, the guest resets its balloon.
 *
 * Each process below is a thread of the real thing; each atomic block is what a lock, the processor or the page table makes
 * indivisible. Contents are not modelled; whether the destination's copy of a page is the source's is (`fresh`).
 *
 * Checked is: when the guest arrives at the destination, every page in use is there as it was (no lost page); at most one side has the
 * guest (one owner); whatever happens, the host comes to an end, the guest runs, and gets back what it lent (DONE comes).
 *
 * `-DBREAK_...` breaks one rule of RULES.md each, and Spin must find a counter-example. `-DREACH_...` claims that something
 * cannot happen that can: it must fail too, else the model is vacuous. tools/model runs all of them.
 */

#ifndef PAGES
#define PAGES 2                 /* page 0 holds the virtqueue, which the device writes; the guest uses, frees and lends the others */
#endif
#ifndef OPERATIONS
#define OPERATIONS 3            /* what the guest does to its memory: write, free, take back */
#endif
#ifndef ROUNDS
#define ROUNDS 2                /* rounds of precopy while the guest runs */
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 1              /* migrations, each after the failure of the one before */
#endif
#ifndef RESETS
#define RESETS 0                /* how often the guest resets its balloon device */
#endif
#ifndef PAUSES
#define PAUSES 0                /* how often a person pauses the guest */
#endif
#ifndef DISCARDS
#define DISCARDS 0              /* how often the guest gives a page back to the host, as by inflating its balloon */
#endif
/* HINTLESS: in any round the guest may not be asked.
   OWN_BUFFERS: the driver has a buffer for each start that it queues, as the model guest's, and the device, for its part, minds nothing but
   ids. Else the driver is Linux's, which keeps the id that it answers in one word that every start names: the device reads what is there by
   then. So it does not count what was queued before the driver read the id of the open command. */
#ifndef RING
#define RING 2                  /* buffers on the virtqueue at a time */
#endif
#ifndef LINK
#define LINK 1                  /* frames on their way at a time */
#endif

#define STOP 0                  /* words of configuration space */
#define DONE 1
#define FIRST_ID 2

mtype:buffer = { START, BLOCK, END };                                     /* guest to device */
mtype:frame = { DATA, FREE, SWITCHOVER, COMMIT };                         /* source to destination */
mtype:answer = { READY, RUNNING, NOT_COMMITTED };                         /* and back; the last is a file's */
mtype:command = { CLOSED, REQUESTED, STARTED };                           /* the device */
mtype:driver = { RESTING, STARTING, REPORTING, ENDING };                  /* the guest's driver */

/* The guest's memory. What nobody has written since it was allocated does not matter: `used` is allocated and written. */
bool used[PAGES];
bool held[PAGES];               /* the driver has it, for a hint */
byte operations = 0;

/* The driver, all of whose state is in guest RAM and travels. */
mtype:driver driver = RESTING;
byte active_id = 0;             /* OWN_BUFFERS: the last it has begun to answer; else also what every start on the ring says */
byte resets = 0;

/* Who has the guest. */
bool source_runs = true;
bool taken_over = false;        /* the migration has paused it; a person cannot resume it */
bool ran = true;                /* whether it ran at that moment */
bool by_person = false;         /* a person has paused it */
byte pauses = 0;
bool destination_owns = false;
bool destination_runs = false;

/* The tracker. */
bool armed = false;
bool logged[PAGES];             /* written since it was armed, or harvested */

/* The ledger. */
bool scratch[PAGES];            /* harvested, not merged yet */
bool pending[PAGES];
bool is_free[PAGES];
bool announced[PAGES];
bool counting = false;          /* blocks count: a command is open */

/* The device. */
byte word = DONE;               /* configuration space: the command id */
mtype:command device = CLOSED;
byte device_id = 0;             /* of its last command */
byte work = 0;                  /* the block of a chain that was popped and not given back; 0: none */
bool half_written = false;      /* it is writing the ring, under its lock */
byte older = 0;                 /* buffers on the ring that were there before the driver read the id of the open command */
bool unread = false;            /* which it has not yet */
chan ring = [RING] of { mtype:buffer, byte };

/* The link, and what the destination holds. */
bool link_up = true;
chan link = [LINK] of { mtype:frame, byte, bit };
#ifdef BREAK_TWO_CHANNELS
chan second_link = [LINK] of { mtype:frame, byte, bit };
#endif
chan answers = [1] of { mtype:answer };
bit sent[PAGES];                /* flips each time something is sent of a page */
bit there[PAGES];               /* the last that was applied */
bool fresh[PAGES];              /* what was sent last is what the page holds */
bool destination_present = true;
bool prepared = false;

bool begun = false;
byte attempt = 1;
bool host_over = false;
bool outcome_unknown = false;
bool cancel_requested = false;

#if DISCARDS > 0
/* Memory that is given back. The content becomes zero without a write; the ledger is told before and after. What was sent last of a page is
   zero where it was sent as zero or as free, or where nothing was. */
bool lent[PAGES];               /* the guest has given it up, and the device is at it or will be */
bool gone[PAGES];               /* the device has acknowledged */
bool zero[PAGES];
bool sent_zero[PAGES];
bool carried[PAGES];            /* the ledger: the destination may hold data of it */
byte discards = 0;
byte discarding = 0;            /* the page, while the device is at it */
#define no_discard (discarding == 0)
#define matters(page) (used[page] || gone[page])
#define content_written(page) zero[page] = false
#define taken(page) carried[page] = true
#define page_read(page) sent_zero[page] = zero[page]
#define page_left(page) carried[page] = carried[page] && !sent_zero[page]
#define free_told(page) fresh[page] = zero[page]; sent_zero[page] = true
#define nothing_sent(page) carried[page] = false; sent_zero[page] = true
#else
#define no_discard true
#define matters(page) used[page]
#define content_written(page) skip
#define taken(page) skip
#define page_read(page) skip
#define free_told(page) fresh[page] = false
#define nothing_sent(page) skip
#endif

#define guest_runs (source_runs || destination_runs)
#define anything_held (held[1] || held[PAGES - 1])

/* Where lost pages are looked for, nobody is interested in what the guest does at the destination; and what may happen without a
   reason is simply allowed to. Where ends are looked for, it must have a reason, else its mere possibility would be a way out. */
#ifdef ENDS
#define driver_runs guest_runs
#define cancelled cancel_requested
#else
#define driver_runs source_runs
#define cancelled true
#endif

/* Reachability: what has happened on the way. */
#ifdef REACH
bool happened = false;
#endif

/* Somebody writes a page: the page table logs it, and the destination's copy is old. */
inline write(page) {
    used[page] = true;
    fresh[page] = false;
    content_written(page);
    if
    :: armed -> logged[page] = true
    :: else
    fi;
#ifdef REACH_WRITE_DURING_HARVEST
    if :: scratch[page] -> happened = true :: else fi
#endif
}

#ifdef BREAK_FIXED_BUFFER
bool moved[PAGES];              /* discarded once: it has another page of the host now than when the migration began */
#endif

/* ---------------------------------------------------------------- the guest */

#if DISCARDS > 0
#define available(page) (!used[page] && !held[page] && !lent[page] && !gone[page])
#else
#define available(page) (!used[page] && !held[page])
#endif

/* Where the destination has nothing of a page, nothing of it need travel. */
#define forget(page) if :: !carried[page] -> pending[page] = false :: else fi

/* Its allocator and whoever uses memory. Under pressure the shrinker takes held pages back, read by the device or not. */
active proctype Memory() {
    byte page = 1;
    begun;
end:
    do
    :: atomic {
            source_runs && operations < OPERATIONS ->
            operations++;
#if PAGES > 2
            if
            :: page = 1
            :: page = 2
            fi;
#endif
            if
            :: available(page) -> printf("guest: allocates page %d and writes it\n", page); write(page)
            :: used[page] -> printf("guest: writes page %d\n", page); write(page)
            :: used[page] -> printf("guest: frees page %d\n", page); used[page] = false
            :: held[page] ->
                printf("guest: takes page %d back from the balloon driver and writes it\n", page);
                held[page] = false; write(page)
#if DISCARDS > 0
            :: used[page] && discards < DISCARDS ->
                printf("guest: gives page %d back to the host\n", page);
                discards++; used[page] = false; lent[page] = true
            :: lent[page] ->                                            /* it must not count on that, and nor does it */
                printf("guest: writes page %d, which it has given back\n", page);
                write(page); used[page] = false
            :: gone[page] && zero[page] ->
                printf("guest: takes page %d back, which is zero\n", page);
                gone[page] = false; used[page] = true
            :: gone[page] -> printf("guest: takes page %d back and writes it\n", page); gone[page] = false; write(page)
#endif
#ifdef BREAK_FIXED_BUFFER
            :: !used[page] && !held[page] -> printf("host: discards page %d, which is free\n", page); moved[page] = true
#endif
            fi;
            page = 1
        }
#ifdef ENDS
    :: break
#endif
    od
}

#if defined(OWN_BUFFERS) || defined(BREAK_COUNT_OLDER)
#define mark_older() skip
#define mark_when_read() skip
#else
#define mark_older() older = len(ring)
#define mark_when_read() if :: unread -> unread = false; mark_older() :: else fi
#endif

/* The balloon driver, as Linux's: start, blocks, end; another id begins anew, DONE gives all back. It reads the id when an interrupt lets
   it and acts on it later: between any two steps the word may change, and whether it has noticed is open. */
active proctype Driver() {
    byte page = 1;
    begun;
end:
    do
    :: atomic { driver_runs && driver == RESTING && word >= FIRST_ID && word != active_id && !half_written ->
            printf("driver: reads id %d\n", word);
            mark_when_read();
            active_id = word; driver = STARTING
        }
    :: atomic { driver_runs && driver == STARTING && nfull(ring) ->
            printf("driver: queues start %d\n", active_id);
#ifdef OWN_BUFFERS
            ring!START, active_id;
#else
            ring!START, 0;
#endif
            driver = REPORTING
        }
    :: atomic { driver_runs && driver == REPORTING && nfull(ring) && (available(1) || available(PAGES - 1)) ->
            if
            :: page = 1
#if PAGES > 2
            :: page = 2
#endif
            fi;
            if
            :: available(page) ->
                printf("driver: holds page %d and queues its hint\n", page);
                held[page] = true; ring!BLOCK, page
            :: else
            fi;
            page = 1
        }
    :: atomic { driver_runs && driver == REPORTING -> driver = ENDING }      /* nothing left */
    :: atomic { driver_runs && driver == REPORTING && word != active_id && !half_written ->
            printf("driver: sees that id %d is over\n", active_id);
            mark_when_read();
            driver = ENDING
        }
    :: atomic { driver_runs && driver == ENDING && nfull(ring) ->
            printf("driver: queues the end of its report\n");
            ring!END, 0; driver = RESTING
        }
    :: atomic { driver_runs && driver == RESTING && word == DONE && anything_held ->
            printf("driver: reads DONE and gives its pages back\n");
            held[1] = false; held[PAGES - 1] = false
        }
    od
}

/* ---------------------------------------------------------------- the device's hint thread */

/* It gives a buffer back: the used ring is in guest RAM, and whoever writes there says so, after the write
   (rule "every writer is tracked"). */
inline give_back() {
#ifdef BREAK_MARK_BEFORE_WRITE
    if :: armed -> logged[0] = true :: else fi;
#else
    fresh[0] = false;
#endif
    half_written = true
}

inline finish_writing() {
#ifdef BREAK_MARK_BEFORE_WRITE
    fresh[0] = false;
#else
#ifndef BREAK_FORGET_DEVICE_WRITE
    if :: armed -> logged[0] = true :: else fi;
#endif
#endif
    half_written = false
}

inline apply_hint(page) {
    pending[page] = false;
    is_free[page] = true;
#ifdef BREAK_HINT_CLEARS_LOG                                    /* rule "arm before asking", second half */
    logged[page] = false;
#endif
#ifdef BREAK_ROUND_OUTWARD                  /* rule "whole pages inside RAM": the block ends somewhere in the next page */
    pending[PAGES - 1] = false;
    is_free[PAGES - 1] = true;
#endif
#ifdef REACH_HINT_AFTER_WRITE
    if :: used[page] -> happened = true :: else fi;
#endif
#ifdef REACH_HINT_AFTER_RESET
    if :: resets > 0 -> happened = true :: else fi;
#endif
}

/* Where blocks count: by the device's state and the ledger's, under one lock (rule "the id decides"). */
#if defined(BREAK_BLOCKS_BEFORE_START)                          /* any open command will do */
#define block_counts counting
#elif defined(BREAK_HINT_WHILE_CLOSED)                          /* it counts by what was when it was popped */
bool was_started = false;
#define block_counts was_started
#else
#define block_counts (counting && device == STARTED)
#endif

#if defined(BREAK_NOT_PARKED)               /* rule "every writer is tracked": the device goes on while the guest stands still */
#define device_works (guest_runs || taken_over)
#elif defined(BREAK_KEEP_BUFFERS)                               /* rule "the id decides": what does not count is not returned */
#define device_works (guest_runs && counting)
#else
#define device_works guest_runs
#endif

#ifdef BREAK_STALE_ID                                        /* rule "the id decides": a start counts whatever id it carries */
#define names_command(id) true
#else
#define names_command(id) (id == device_id)
#endif

active proctype HintThread() {
    mtype:buffer kind;
    byte value;
    begun;
end:
    do
    :: atomic { device_works && !half_written && work == 0 && nempty(ring) ->
            ring?kind, value;
#ifndef OWN_BUFFERS
            if :: kind == START -> value = active_id :: else fi;
#endif
            if
            :: older > 0 ->
                printf("device: gives back what is older than the command\n");
#ifdef REACH_OLDER
                assert(false);
#endif
                older--; give_back()
            :: older == 0 && kind == START && device == REQUESTED && names_command(value) ->
                printf("device: reads start %d, and the open command begins\n", value);
                device = STARTED; give_back()
            :: older == 0 && kind == START && device == STARTED && !names_command(value) ->
                printf("device: reads start %d while %d is started: closed\n", value, device_id);
                device = CLOSED; word = STOP; give_back()
            :: older == 0 && kind == START &&
                (device == CLOSED || device == REQUESTED && !names_command(value) || device == STARTED && names_command(value)) ->
                printf("device: reads start %d and ignores it\n", value);
#ifdef REACH_OLD_ID
                assert(!(device == REQUESTED && attempt == 2 && value != 0));
#endif
                give_back()
            :: older == 0 && kind == END ->
                printf("device: reads the end of a report\n");
                if :: device == STARTED -> device = CLOSED; word = STOP :: else fi;
                give_back()
            :: older == 0 && kind == BLOCK ->
                printf("device: pops the hint of page %d\n", value);
#ifdef BREAK_HINT_WHILE_CLOSED
                was_started = device == STARTED;
#endif
                work = value
            fi;
            kind = END; value = 0
        }
    /* A chain may be long, and the lock is let go between its blocks: between pop and this, anything may have happened. */
    :: atomic { device_works && !half_written && work != 0 ->
            if
            :: block_counts -> printf("device: applies the hint of page %d\n", work); apply_hint(work)
            :: else ->
                printf("device: ignores the hint of page %d\n", work);
#ifdef REACH_STALE_BLOCK
                assert(!counting)
#endif
            fi;
            work = 0; give_back()
        }
    :: atomic { half_written -> finish_writing() }
    od
}

#if DISCARDS > 0
/* ---------------------------------------------------------------- the device's thread that gives memory back */

active proctype Discarder() {
    begun;
end:
    do
    :: atomic { source_runs && no_discard && (lent[1] || lent[PAGES - 1]) ->
            if
            :: lent[1] -> discarding = 1
            :: lent[PAGES - 1] -> discarding = PAGES - 1
            fi;
            printf("device: is about to give page %d back\n", discarding);
#if !defined(BREAK_DISCARD_UNHEARD) && !defined(BREAK_FORGET_TOO_LATE)
            forget(discarding)
#endif
#ifdef BREAK_ACKNOWLEDGE_FIRST                             /* rule "acknowledge after" */
            ;
            lent[discarding] = false; gone[discarding] = true
#endif
        };
        atomic {
            printf("device: page %d is gone\n", discarding);
            assert(!used[discarding]);                                  /* no lost page: what the guest uses is never given back */
            zero[discarding] = true;
            fresh[discarding] = sent_zero[discarding]
        };
        atomic {
#ifdef BREAK_FORGET_TOO_LATE                               /* rule "discard is heard": a harvest may have come in between */
            forget(discarding);
#endif
#ifndef BREAK_DISCARD_UNHEARD                                   /* rule "discard is heard" */
            if
            :: carried[discarding] && !is_free[discarding] -> pending[discarding] = true
            :: else
            fi;
#endif
#ifdef REACH_DISCARD_AFTER_SENT
            if :: carried[discarding] && pending[discarding] -> happened = true :: else fi;
#endif
            printf("device: acknowledges page %d\n", discarding);
#ifndef BREAK_ACKNOWLEDGE_FIRST
            lent[discarding] = false; gone[discarding] = true;
#endif
            discarding = 0
        }
    od
}
#endif

/* ---------------------------------------------------------------- the source's migration thread */

#define every(statements) d_step { page = 0; do :: page < PAGES -> statements; page++ :: else -> break od; page = 0 }

inline arm_tracker() {
    d_step {
        printf("source: arms the tracker\n");
        armed = true;
        page = 0;
        do
        :: page < PAGES -> logged[page] = false; page++
        :: else -> break
        od;
        page = 0
    }
}

inline open_hints() {
    atomic {
        !half_written ->
#ifdef BREAK_REUSE_ID                                           /* rule "the id decides": each migration counts from the beginning */
        device_id = FIRST_ID + round - 1;
#else
        if
        :: device_id < FIRST_ID -> device_id = FIRST_ID
        :: else -> device_id++
        fi;
#endif
        printf("source: opens hints, id %d\n", device_id);
        unread = true; mark_older();
        counting = true; device = REQUESTED; word = device_id
    }
}

inline close_hints() {
    atomic {
        !half_written ->
        printf("source: closes hints\n");
        counting = false;
        if
        :: device != CLOSED -> device = CLOSED; word = STOP
        :: else
        fi
    }
}

/* Page by page atomically into the scratch bitmap; then, under the lock, into the ledger. */
inline harvest() {
    do
    :: d_step { page < PAGES ->
            if
            :: logged[page] ->
                printf("source: harvests page %d\n", page);
                scratch[page] = true;
#ifndef BREAK_REARM_LATER
                logged[page] = false
#endif
            :: else
            fi;
            page++
        }
    :: d_step { page == PAGES ->
            page = 0;
#ifdef BREAK_REARM_LATER                    /* rule "clear, then read": what was written since the log was read is forgotten */
            do
            :: page < PAGES -> logged[page] = false; page++
            :: else -> break
            od;
            page = 0;
#endif
            do
            :: page < PAGES && scratch[page] ->
                scratch[page] = false;
#ifdef REACH_FREE_REWRITTEN
                if :: announced[page] && used[page] -> happened = true :: else fi;
#endif
#ifdef BREAK_FREE_AS_SENT
                pending[page] = !is_free[page];
#else
                pending[page] = true;
#endif
                is_free[page] = false;
                announced[page] = false;
                page++
            :: page < PAGES && !scratch[page] -> page++
            :: page == PAGES -> break
            od;
            page = 0
        };
        break
    od
}

/* Its bytes, as they are at this moment, go on the link. */
inline read_page() {
    printf("source: reads page %d and sends it\n", page);
#ifdef REACH_RESENT
    if :: sent[page] == 1 -> happened = true :: else fi;
#endif
#ifdef BREAK_FIXED_BUFFER                   /* rule "no fixed buffers": the pinned page is the one that was there before the discard */
    fresh[page] = !moved[page];
#else
    fresh[page] = true;
#endif
    page_read(page);
    sent[page] = 1 - sent[page]
}

inline put(kind, generation) {
    if
    :: atomic { link_up && nfull(link) -> link!kind, page, generation }
#ifdef BREAK_TWO_CHANNELS                                       /* rule "order per page" */
    :: atomic { kind == DATA && link_up && nfull(second_link) -> second_link!kind, page, generation }
#endif
    :: !link_up -> goto failed
    fi
}

/* What was taken out of the ledger and did not leave must not be forgotten. What was hinted meanwhile stays free. */
inline return_batch() {
#ifndef BREAK_FORGET_BATCH                                      /* rule "clear, then read" */
    if :: !is_free[page] -> pending[page] = true :: else fi;
#endif
#ifdef REACH_TIMEOUT
    happened = true;
#endif
    page = 0
}

inline send_pending(may_time_out) {
    do
    :: d_step {
            do
            :: page < PAGES && !pending[page] -> page++
            :: page == PAGES || pending[page] -> break
            od;
#ifndef BREAK_READ_BEFORE_CLEAR
            if :: page < PAGES -> pending[page] = false; taken(page) :: else fi
#endif
        };
        if
        :: page == PAGES -> page = 0; break
        :: d_step { page < PAGES -> read_page() }
#ifndef ENDS
        :: d_step { page < PAGES && may_time_out && ATTEMPTS == 1 ->
                printf("source: time is up before page %d has left\n", page);
                return_batch()
            };
            goto switch_over
#endif
        fi;
#ifdef BREAK_READ_BEFORE_CLEAR                                  /* rule "clear, then read": what was written in between is taken for sent */
        d_step { pending[page] = false; logged[page] = false };
#endif
        put(DATA, sent[page]);
#if DISCARDS > 0
        page_left(page);
#endif
        page++
    od;
    do
    :: d_step {
            do
            :: page < PAGES && !(is_free[page] && !announced[page]) -> page++
            :: page == PAGES || is_free[page] && !announced[page] -> break
            od;
            if
            :: page < PAGES ->
                printf("source: says that page %d is free\n", page);
                announced[page] = true; free_told(page); sent[page] = 1 - sent[page]
            :: else
            fi
        };
        if
        :: page == PAGES -> page = 0; break
        :: else
        fi;
        put(FREE, sent[page]);
#if DISCARDS > 0
        page_left(page);
#endif
        page++
    od
}

/* Before the next round the destination has applied this one. */
inline await_applied() {
#ifdef BREAK_TWO_CHANNELS
    skip
#else
    if
    :: link_up && empty(link)
    :: !link_up || cancelled -> goto failed
    fi
#endif
}

active proctype Source() {
    byte page = 0;
    byte round = 0;
    begun;

set_up:
    /* What exists when the migration begins is pending. */
#ifdef BREAK_ARM_LATE                                           /* rule "arm before asking" */
    skip;
#else
    arm_tracker();
#endif
    every(pending[page] = true);

    do
    :: round < ROUNDS && link_up ->
        round++;
#ifdef HINTLESS
        if
        :: open_hints()
        :: skip
        fi;
#else
        open_hints();
#endif
#ifdef BREAK_ARM_LATE
        if :: round == 1 -> arm_tracker() :: else fi;
#endif
        send_pending(true);
        await_applied();
#ifdef BREAK_HARVEST_BEFORE_STOP                                /* rule "stop before sync" */
        harvest();
        close_hints()
#else
        close_hints();
        harvest()
#endif
    :: round > 0 && link_up -> break
    :: !link_up || cancelled -> goto failed
    od;

switch_over:
    atomic {
        !half_written && no_discard ->
        printf("source: pauses the guest\n");
        ran = source_runs; source_runs = false; taken_over = true; round = 0
    };
    close_hints();
#ifndef BREAK_LOSE_LAST_ROUND                                   /* rule "clear, then read", at the end */
    harvest();
#endif
    word = DONE;
    send_pending(false);
    put(SWITCHOVER, 0);
    if
    :: answers?READY
    :: !link_up || cancelled -> goto failed                     /* or the destination refused */
    fi;
    /* From here on the destination may run it. */
    put(COMMIT, 0);
    if
    :: answers?RUNNING
    :: answers?NOT_COMMITTED ->
#ifdef REACH_NOT_COMMITTED
        assert(false);
#endif
        goto failed
#ifndef BREAK_WAIT_FOREVER                                      /* rule "done always comes": every wait has an end */
    :: atomic { !link_up ->
            printf("source: the link broke after commit: the outcome is unknown\n");
            outcome_unknown = true;
#ifdef REACH_COMMIT_LOST
            assert(destination_owns || nempty(link));
#endif
#ifdef REACH_RUNNING_LOST
            assert(!destination_owns);
#endif
        }
#endif
    fi;
#ifdef BREAK_RESUME_AT_BOTH                                     /* rule "one owner" */
    if :: outcome_unknown -> goto failed :: else fi;
#endif
    armed = false;
    goto over;

failed:
#ifdef REACH_CANCEL_PAUSED
    assert(!taken_over);
#endif
    page = 0; round = 0;
    close_hints();
#ifndef BREAK_DROP_DONE                                         /* rule "done always comes" */
    word = DONE;
#endif
    atomic {
        assert(!destination_owns);                              /* one owner */
        printf("source: backs out\n");
        armed = false; link_up = false; cancel_requested = false;
        if
        :: taken_over -> source_runs = ran; taken_over = false; ran = true
        :: else
        fi
    };
    if
    :: attempt < ATTEMPTS ->
        /* Another migration, to another destination: a new link, a new ledger; the device and its ids go on. */
        atomic { !destination_present ->
            printf("source: another migration begins\n");
            attempt++; link_up = true; destination_present = true;
            if
            :: answers?_
            :: empty(answers)
            fi
        };
        every(
            is_free[page] = false; announced[page] = false; scratch[page] = false; fresh[page] = false; sent[page] = 0; there[page] = 0;
            nothing_sent(page)
        );
        goto set_up
    :: else
    fi;
over:
    host_over = true
}

/* ---------------------------------------------------------------- the destination */

inline start_here() {
    printf("destination: has the guest\n");
    assert(!source_runs);                                       /* one owner */
    destination_owns = true;
    destination_runs = ran;
#ifdef BREAK_DONE_STAYS_BEHIND                                  /* rule "done always comes": the hint state that travels is not done */
    word = STOP;
#else
    word = DONE;
#endif
#ifdef REACH_ARRIVES
    assert(false);
#endif
#ifdef REACH
    assert(!happened);
#endif
#ifdef REACH_PAUSED_ARRIVES
    assert(ran);
#endif
#ifdef REACH_FREE_ARRIVES
    assert(!(is_free[1] && announced[1] && !used[1]));
#endif
    page = 0;
    do
    :: page < PAGES ->
        /* No page is lost: what matters to the guest is here, and is the last that was sent. */
        assert(!matters(page) || fresh[page] && there[page] == sent[page]);
        page++
    :: else -> break
    od
}

active proctype Destination() {
    mtype:frame kind;
    byte page = 0;
    bit generation;
    begun;
end:
    do
    :: atomic { link?kind, page, generation ->
            if
            :: kind == DATA || kind == FREE -> there[page] = generation
            :: kind == SWITCHOVER ->
#ifdef BREAK_TWO_CHANNELS
                do
                :: second_link?_, page, generation -> there[page] = generation
                :: empty(second_link) -> break
                od;
#endif
                prepared = true; answers!READY;
#ifdef BREAK_RUN_BEFORE_COMMIT                                  /* rule "one owner" */
                start_here()
#endif
            :: kind == COMMIT && prepared -> start_here(); answers!RUNNING; page = 0; break
            :: kind == COMMIT && prepared ->
                /* A file whose last write failed: it is known that nobody will ever start it. */
                printf("destination: could not commit\n");
                prepared = false; answers!NOT_COMMITTED
            fi;
            page = 0; generation = 0; kind = DATA
        }
#ifdef BREAK_TWO_CHANNELS
    :: atomic { second_link?_, page, generation -> there[page] = generation; page = 0; generation = 0 }
#endif
    :: atomic { !link_up && empty(link) && destination_present -> destination_present = false; prepared = false }
    od
}

/* ---------------------------------------------------------------- whatever may happen */

active proctype Fate() {
    begun;
end:
    do
    /* The link breaks; what was on its way arrives, or does not. (A destination that dies looks the same.) */
    :: atomic { link_up && !host_over ->
            printf("link: breaks\n");
            link_up = false;
            do
            :: nempty(link) -> printf("link: what was on its way is lost\n"); link?_, _, _
            :: break
            od
        }
#if RESETS > 0
    /* The guest loads its driver anew: what was queued is gone, and what was lent is free. */
    :: atomic { source_runs && resets < RESETS && !half_written ->
            printf("guest: resets its balloon device\n");
            resets++;
            do
            :: nempty(ring) -> ring?_, _
            :: empty(ring) -> break
            od;
            work = 0; older = 0; unread = false; driver = RESTING; active_id = 0; held[1] = false; held[PAGES - 1] = false;
            device = CLOSED; word = STOP
        }
#endif
#if PAUSES > 0
    :: atomic { source_runs && pauses < PAUSES && !half_written && no_discard ->
            printf("person: pauses the guest\n");
            pauses++; source_runs = false; by_person = true
        }
    :: atomic { by_person && !taken_over && !destination_owns && !outcome_unknown ->
            printf("person: resumes the guest\n");
            by_person = false; source_runs = true
        }
    :: atomic { by_person && destination_owns && !destination_runs ->
            printf("person: resumes the guest at the destination\n");
            by_person = false; destination_runs = true
        }
#endif
#ifdef ENDS
    :: atomic { !host_over && !cancel_requested -> cancel_requested = true }
    :: break                                                    /* nothing more happens: nobody is saved by an accident */
#endif
    od
}

#ifdef ENDS
/* Where commit was sent, no answer came, and the destination has not got it, a person decides what becomes of the guest. */
#define in_limbo (outcome_unknown && !destination_owns)
#define paused_by_person (by_person && !guest_runs)

/* How it ends: nothing can happen any more. */
active proctype End() {
    timeout;
    assert(host_over);                                          /* nobody waits for ever */
    assert(guest_runs || in_limbo || paused_by_person);
    assert(!anything_held || in_limbo || paused_by_person);     /* DONE came */
    assert(driver == RESTING || in_limbo || paused_by_person)   /* and all buffers */
}
#endif

init {
    atomic {
        used[0] = true;
#if DISCARDS > 0
        sent_zero[0] = true; sent_zero[1] = true; sent_zero[PAGES - 1] = true;
#endif
        if
        :: used[1] = true
        :: skip
        fi;
#if PAGES > 2
        if
        :: used[2] = true
        :: skip
        fi;
#endif
        begun = true
    }
}

/*
 * A model of a migration with free-page hints, for Spin. It has the host's migration thread, the device's hint thread, the guest's
 * balloon driver, the guest's memory (writers, allocator, shrinker, and what it gives back to the host), the destination, and events that
 * may come at any moment: the link breaks, a person pauses the guest or cancels, the guest resets its balloon.
 *
 * Each process below is a thread of the real system. Each atomic block is an action that a lock, the processor or the page table makes
 * indivisible. The content of pages is not modelled, only whether the destination's copy of a page equals the source's (`fresh`).
 *
 * Spin checks three properties. When the guest arrives at the destination, every page in use is there, unchanged (no lost page). At most
 * one side has the guest (one owner). Whatever happens, the host finishes, the guest runs, and it gets back what it lent (DONE comes).
 *
 * Each `-DBREAK_...` breaks one rule of RULES.md, and Spin must find a counter-example. Each `-DREACH_...` claims that something possible
 * cannot happen. That must fail too; otherwise the model is vacuous. tools/model runs all of them.
 */

#ifndef PAGES
#define PAGES 2                 /* page 0 holds the virtqueue, which the device writes; the guest uses, frees and lends the others */
#endif
#ifndef OPERATIONS
#define OPERATIONS 3            /* operations of the guest on its memory: write, free, take back */
#endif
#ifndef ROUNDS
#define ROUNDS 2                /* rounds of precopy while the guest runs */
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 1              /* migrations; each follows the failure of the one before */
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
/* HINTLESS: any round may begin without asking the guest.
   OWN_BUFFERS: the driver has a buffer for each start that it queues, like the model guest's driver, and the device checks only ids.
   Otherwise the driver is Linux's. It keeps the id that it answers in one word, and every start names that word. The device reads whatever
   the word holds by then, so it does not count buffers that were queued before the driver read the id of the open command. */
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
mtype:answer = { READY, RUNNING, NOT_COMMITTED };                         /* and back; a file may give the last */
mtype:command = { CLOSED, REQUESTED, STARTED };                           /* the device */
mtype:driver = { RESTING, STARTING, REPORTING, ENDING };                  /* the guest's driver */

/* The guest's memory. A page that was not written since it was allocated does not matter: `used` means allocated and written. */
bool used[PAGES];
bool held[PAGES];               /* the driver holds it for a hint */
byte operations = 0;

/* The driver. All of its state is in guest RAM, and moves with the guest. */
mtype:driver driver = RESTING;
byte active_id = 0;             /* the last id that it began to answer; without OWN_BUFFERS also the id of every start on the ring */
byte resets = 0;

/* Who has the guest. */
bool source_runs = true;
bool taken_over = false;        /* the migration has paused it, so a person cannot resume it */
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
bool counting = false;          /* a command is open, so blocks count */

/* The device. */
byte word = DONE;               /* configuration space: the command id */
mtype:command device = CLOSED;
byte device_id = 0;             /* the id of its last command */
byte work = 0;                  /* the block of a chain that was popped and not given back yet; 0: none */
bool half_written = false;      /* it is writing the used ring, under its lock */
byte older = 0;                 /* buffers on the ring that were queued before the driver read the id of the open command */
bool unread = false;            /* the driver has not read that id yet */
chan ring = [RING] of { mtype:buffer, byte };

/* The link, and what the destination holds. */
bool link_up = true;
chan link = [LINK] of { mtype:frame, byte, bit };
#ifdef BREAK_TWO_CHANNELS
chan second_link = [LINK] of { mtype:frame, byte, bit };
#endif
chan answers = [1] of { mtype:answer };
bit sent[PAGES];                /* flips each time data or FREE is sent for a page */
bit there[PAGES];               /* the value of `sent` that was applied last */
bool fresh[PAGES];              /* the page still has the content that was sent last */
bool destination_present = true;
bool prepared = false;

bool begun = false;
byte attempt = 1;
bool host_over = false;
bool outcome_unknown = false;
bool cancel_requested = false;

#if DISCARDS > 0
/* Memory that is given back. Its content becomes zero without a write. The ledger is told before and after. The content that was sent last
   is zero if the page was sent as zero or as free, or was not sent. */
bool lent[PAGES];               /* the guest has given it up, and the device has not acknowledged that yet */
bool gone[PAGES];               /* the device has acknowledged */
bool zero[PAGES];
bool sent_zero[PAGES];
bool carried[PAGES];            /* the ledger: the destination may hold data of it */
byte discards = 0;
byte discarding = 0;            /* the page that the device is discarding; 0: none */
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

/* A search for lost pages does not need the guest's actions at the destination, and lets events such as a cancel happen without a reason.
   A search for ends needs a reason for each of them. Otherwise the mere possibility of the event would be a way out. */
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

/* Somebody writes a page. The page table logs that, and the destination's copy becomes old. */
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
bool moved[PAGES];              /* discarded once: the host backs it with another page now than when the migration began */
#endif

/* ---------------------------------------------------------------- the guest */

#if DISCARDS > 0
#define available(page) (!used[page] && !held[page] && !lent[page] && !gone[page])
#else
#define available(page) (!used[page] && !held[page])
#endif

/* If the destination has no data of a page, none needs to be sent. */
#define forget(page) if :: !carried[page] -> pending[page] = false :: else fi

/* The allocator and the users of memory. Under pressure the shrinker takes held pages back, whether or not the device has read the hint. */
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
            :: lent[page] ->                                            /* allowed, but it must not rely on the content, and does not */
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

/* The balloon driver, like Linux's: start, blocks, end. Another id begins a new round, and DONE gives all pages back. It reads the id after
   an interrupt and acts on it later. Between any two steps the word may change, and the driver may or may not have noticed. */
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
    :: atomic { driver_runs && driver == REPORTING -> driver = ENDING }      /* no more blocks */
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

/* It gives a buffer back. The used ring is in guest RAM, so the device must mark its page, and does that after the write
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

/* Whether blocks count. This depends on the state of the device and of the ledger, under one lock (rule "the id decides"). */
#if defined(BREAK_BLOCKS_BEFORE_START)                          /* any open command is enough */
#define block_counts counting
#elif defined(BREAK_HINT_WHILE_CLOSED)                          /* the state at the pop decides */
bool was_started = false;
#define block_counts was_started
#else
#define block_counts (counting && device == STARTED)
#endif

#if defined(BREAK_NOT_PARKED)               /* rule "every writer is tracked": the device works while the guest is paused */
#define device_works (guest_runs || taken_over)
#elif defined(BREAK_KEEP_BUFFERS)                               /* rule "the id decides": buffers that do not count are not returned */
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
    /* A chain may be long, and the lock is released between its blocks. So anything may have happened since the pop. */
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

/* Moves the log into the scratch bitmap, page by page atomically; then, under the lock, into the ledger. */
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
#ifdef BREAK_REARM_LATER                    /* rule "clear, then read": writes since the log was read are forgotten */
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

/* Sends the bytes that the page has at this moment. */
inline read_page() {
    printf("source: reads page %d and sends it\n", page);
#ifdef REACH_RESENT
    if :: sent[page] == 1 -> happened = true :: else fi;
#endif
#ifdef BREAK_FIXED_BUFFER                   /* rule "no fixed buffers": the pinned page is the one from before the discard */
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

/* Puts back a page that was taken out of the ledger and not sent. A page that was hinted meanwhile stays free. */
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
#ifdef BREAK_READ_BEFORE_CLEAR                                  /* rule "clear, then read": a write in between counts as sent */
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

/* The destination must have applied this round before the next one begins. */
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
    /* The pages that exist when the migration begins are pending. */
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
#ifndef BREAK_LOSE_LAST_ROUND                                   /* rule "clear, then read", in the last round */
    harvest();
#endif
    word = DONE;
    send_pending(false);
    put(SWITCHOVER, 0);
    if
    :: answers?READY
    :: !link_up || cancelled -> goto failed                     /* or the destination refused */
    fi;
    /* From here on the destination may run the guest. */
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
        /* Another migration, to another destination, with a new link and a new ledger. The device and its ids stay. */
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
#ifdef BREAK_DONE_STAYS_BEHIND                                  /* rule "done always comes": the hint state that is sent is not DONE */
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
        /* No page is lost: each page that matters to the guest is here, with the content that was sent last. */
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
                /* A file whose last write failed: nobody can ever start it, and the source knows that. */
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

/* ---------------------------------------------------------------- what may happen at any moment */

active proctype Fate() {
    begun;
end:
    do
    /* The link breaks. Frames on their way arrive, or do not. (A destination that dies looks the same.) */
    :: atomic { link_up && !host_over ->
            printf("link: breaks\n");
            link_up = false;
            do
            :: nempty(link) -> printf("link: what was on its way is lost\n"); link?_, _, _
            :: break
            od
        }
#if RESETS > 0
    /* The guest reloads its driver: queued buffers are gone, and lent pages are free. */
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
    :: break                                                    /* no more events: the end must not depend on one */
#endif
    od
}

#ifdef ENDS
/* Commit was sent, no answer came, and the destination did not get it: a person decides what happens to the guest. */
#define in_limbo (outcome_unknown && !destination_owns)
#define paused_by_person (by_person && !guest_runs)

/* Checks the end, when nothing more can happen. */
active proctype End() {
    timeout;
    assert(host_over);                                          /* nobody waits for ever */
    assert(guest_runs || in_limbo || paused_by_person);
    assert(!anything_held || in_limbo || paused_by_person);     /* DONE came */
    assert(driver == RESTING || in_limbo || paused_by_person)   /* and all buffers came back */
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

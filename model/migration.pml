/*
 * A migration with free-page hints, as Spin sees it: the host's migration thread, the device's hint thread, the guest's balloon driver,
 * its memory (writer, allocator, shrinker), the destination, and a link that may break at any moment.
 *
 * Each process below is a thread of the real thing, and each atomic block what a lock, the processor or the page table makes
 * indivisible. Contents are not modelled; that the destination's copy of a page is the source's is (`fresh`).
 *
 * What is checked: at the moment when the guest starts at the destination, every page that is in use and was written is there as it was
 * (no lost page); the guest never runs at both ends (one owner); whatever happens, the host comes to an end, and the guest gets back what it
 * lent (DONE comes). `-DBREAK_...` breaks one rule each; DESIGN section 3 numbers them.
 */

#ifndef PAGES
#define PAGES 2                 /* page 0 holds the virtqueue: the device writes it too */
#endif
#ifndef OPERATIONS
#define OPERATIONS 3            /* what the guest does to its memory: allocate, write, free, take back */
#endif
#ifndef ROUNDS
#define ROUNDS 2                /* rounds of precopy while the guest runs */
#endif

#ifndef RING
#define RING 2                  /* buffers on the virtqueue at a time */
#endif
#ifndef LINK
#define LINK 1                  /* frames on their way at a time */
#endif

#define STOP 0                  /* words of configuration space */
#define DONE 1
#define FIRST_ID 2

mtype = { START_BUFFER, BLOCK, STOP_BUFFER };                   /* guest to device */
mtype = { PAGE, FREE_PAGE, SWITCHOVER, COMMIT, READY, RUNNING };/* between the hosts */
mtype = { IDLE, REQUESTED, STARTED };                           /* the device */

/* The guest's memory. */
bool used[PAGES];               /* somebody has allocated it */
bool written[PAGES];            /* and written it since: its content matters */
bool held[PAGES];               /* the balloon driver has it, for a hint */
bool moved[PAGES];              /* discarded once: it has another page of the host now than when the migration began */
byte operations = 0;

/* Who runs the guest. */
bool source_runs = true;
bool destination_runs = false;

/* The tracker. */
bool armed = false;
bool logged[PAGES];             /* written since it was armed */
bool scratch[PAGES];            /* harvested, not merged yet */

/* The ledger. */
bool pending[PAGES];
bool is_free[PAGES];
bool announced[PAGES];
byte open_id = 0;                  /* the id under which blocks count; 0: none */

/* The device. */
byte word = DONE;               /* configuration space: the command id */
mtype device = IDLE;
byte device_id = 0;
bool parked = false;
bool device_busy = false;       /* a buffer was popped and is not dealt with */
chan ring = [RING] of { mtype, byte };

/* The link, and what the destination holds. */
bool link_up = true;
chan link = [LINK] of { mtype, byte, bit };
#ifdef BREAK_TWO_CHANNELS
chan second_link = [LINK] of { mtype, byte, bit };
#endif
chan answers = [1] of { mtype };
bit sent[PAGES];                /* flips each time a page is sent */
bit there[PAGES];               /* the last that was applied */
bool fresh[PAGES];              /* what was sent last is what the page holds */

bool begun = false;              /* what is in use at the start is settled */
bool host_over = false;
bool outcome_unknown = false;
bool destination_over = false;

#define guest_runs (source_runs || destination_runs)

/* Somebody writes a page: the page table (or the write door) logs it, and the destination's copy is old. */
inline touch(p) {
    fresh[p] = false;
    if
    :: source_runs && armed -> logged[p] = true
    :: else
    fi
}

/* ---------------------------------------------------------------- the guest */

/* Its allocator and whoever uses memory. Under pressure the shrinker takes held pages back, read by the device or not. */
active proctype Memory() {
    byte p;
    begun;
    do
    :: operations < OPERATIONS ->
        if
        :: p = 1
        :: PAGES > 2 -> p = 2
        fi;
        atomic {
            source_runs ->
            operations++;
            if
            :: !used[p] && !held[p] -> used[p] = true; written[p] = false
            :: !used[p] && !held[p] -> moved[p] = true                      /* reported, and discarded by the host */
            :: used[p] -> written[p] = true; touch(p)
            :: used[p] -> used[p] = false; written[p] = false
            :: held[p] -> held[p] = false; used[p] = true; written[p] = true; touch(p)
            fi
        }
    :: operations >= OPERATIONS -> break
    :: break
    od
}

/* The balloon driver, as Linux's: start, blocks, stop; STOP pauses, another id begins anew, DONE gives all back. */
active proctype Driver() {
    byte active_id = 0;
    byte p;
    begun;
end:
    do
    :: atomic { guest_runs && word == DONE && (held[0] || held[1] || held[PAGES - 1]) ->
            p = 0;
            do
            :: p < PAGES -> held[p] = false; p++
            :: else -> break
            od;
            p = 0
        }
    :: atomic { source_runs && word >= FIRST_ID && word != active_id -> active_id = word };
        atomic { source_runs && nfull(ring) -> ring!START_BUFFER, active_id };
        p = 1;
        do
        :: p < PAGES && word == active_id ->
            atomic {
                source_runs && nfull(ring) ->
                if
                :: !used[p] && !held[p] -> held[p] = true; ring!BLOCK, p
                :: else
                fi;
                p++
            }
        :: else -> break
        od;
        atomic { source_runs && nfull(ring) -> ring!STOP_BUFFER, 0 }
    od
}

/* ---------------------------------------------------------------- the device's hint thread */

inline device_writes_ring() {
    fresh[0] = false;
#ifndef BREAK_FORGET_DEVICE_WRITE                               /* rule 5 */
    if
    :: armed -> logged[0] = true
    :: else
    fi
#endif
}

active proctype HintThread() {
    mtype kind;
    byte value, id;
    begun;
end:
    do
    :: atomic { source_runs && !parked && nempty(ring) -> ring?kind, value; device_busy = true; id = device_id; device_writes_ring() };
        if
        :: kind == START_BUFFER ->
            atomic {
                if
                :: device == REQUESTED && value == device_id -> device = STARTED
                :: else
                fi;
                device_busy = false
            }
        :: kind == STOP_BUFFER ->
            atomic {
                if
                :: device == STARTED -> device = IDLE
                :: else
                fi;
                device_busy = false
            }
        :: kind == BLOCK ->
            /* Between the pop and this, anything may have happened: the ledger's lock and the id decide. */
            atomic {
                if
#if defined(BREAK_STALE_ID)                                     /* rule 3: any open command will do */
                :: open_id != 0 ->
#elif defined(BREAK_HINT_WHILE_CLOSED)                          /* rule 2: a late hint is applied */
                :: id != 0 ->
#else
                :: open_id != 0 && open_id == id && device == STARTED ->
#endif
                    pending[value] = false;
                    is_free[value] = true;
#ifdef BREAK_HINT_CLEARS_LOG                                    /* rule 1, second half */
                    logged[value] = false;
#endif
                :: else
                fi;
                device_busy = false
            }
        fi
    od
}

/* ---------------------------------------------------------------- the source's migration thread */

inline arm_tracker() {
    atomic {
        armed = true;
        q = 0;
        do
        :: q < PAGES -> logged[q] = false; q++
        :: else -> break
        od
    }
}

inline open_hints() {
    atomic { id++; open_id = id; device_id = id; device = REQUESTED; word = id }
}

inline close_hints() {
    atomic {
        open_id = 0;
        if
        :: device != IDLE || word >= FIRST_ID -> device = IDLE; word = STOP
        :: else
        fi
    }
}

/* Page by page atomically into the scratch bitmap, then into the ledger. */
inline harvest() {
    q = 0;
    do
    :: q < PAGES ->
        atomic {
            if
            :: logged[q] -> logged[q] = false; scratch[q] = true
            :: else
            fi;
            q++
        }
    :: else -> break
    od;
    q = 0;
    do
    :: q < PAGES ->
        atomic {
            if
            :: scratch[q] ->
                scratch[q] = false;
#ifdef BREAK_FREE_AS_SENT
                pending[q] = !is_free[q];
#else
                pending[q] = true;
#endif
                is_free[q] = false;
                announced[q] = false
            :: else
            fi;
            q++
        }
    :: else -> break
    od
}

/* Its bytes, as they are at this moment, go on the link. */
inline read_page(p) {
#ifdef BREAK_FIXED_BUFFER                                       /* rule 6: the pinned page is the one that was there before the discard */
    fresh[p] = !moved[p];
#else
    fresh[p] = true;
#endif
    sent[p] = 1 - sent[p]
}

inline put(kind, p, generation) {
    if
    :: link_up ->
#ifdef BREAK_TWO_CHANNELS                                       /* rule 7 */
        if
        :: kind != PAGE || nempty(link) -> if :: nfull(link) -> link!kind, p, generation :: !link_up fi
        :: kind == PAGE -> if :: nfull(second_link) -> second_link!kind, p, generation :: !link_up fi
        fi
#else
        if
        :: nfull(link) -> link!kind, p, generation
        :: !link_up
        fi
#endif
    :: !link_up
    fi
}

inline send_pending() {
    q = 0;
    do
    :: q < PAGES ->
        if
        :: pending[q] ->
#ifdef BREAK_READ_BEFORE_CLEAR                                  /* rule 4: what is written in between is taken for sent */
            atomic { read_page(q) };
            atomic { pending[q] = false; logged[q] = false };
#else
            pending[q] = false;
            atomic { read_page(q) };
#endif
            put(PAGE, q, sent[q])
        :: else
        fi;
        q++
    :: else -> break
    od;
    q = 0;
    do
    :: q < PAGES ->
        if
        :: is_free[q] && !announced[q] ->
            atomic { announced[q] = true; fresh[q] = false };
            put(FREE_PAGE, q, 0)
        :: else
        fi;
        q++
    :: else -> break
    od
}

/* Before the next round the destination has applied this one. */
inline await_applied() {
#ifdef BREAK_TWO_CHANNELS
    skip
#else
    if
    :: empty(link)
    :: !link_up
    fi
#endif
}

inline pause_guest() {
    atomic { source_runs = false; parked = true };
    !device_busy
}

inline back_out() {
    close_hints();
#ifndef BREAK_DROP_DONE                                         /* rule 12 */
    word = DONE;
#endif
    armed = false;
    atomic { parked = false; source_runs = true; link_up = false }
}

active proctype Source() {
    byte id = 1;
    byte q = 0;
    byte round = 0;
    begun;

    /* What exists when the migration begins is pending. */
#ifdef BREAK_ARM_LATE                                           /* rule 1 */
    skip;
#else
    arm_tracker();
#endif
    q = 0;
    do
    :: q < PAGES -> pending[q] = true; q++
    :: else -> break
    od;

    do
    :: round < ROUNDS && link_up ->
        round++;
        open_hints();
#ifdef BREAK_ARM_LATE
        if
        :: round == 1 -> arm_tracker()
        :: else
        fi;
#endif
        send_pending();
        await_applied();
#ifdef BREAK_HARVEST_BEFORE_STOP                                /* rule 2 */
        harvest();
        close_hints()
#else
        close_hints();
        harvest()
#endif
    :: round > 0 && link_up -> goto switch_over
    :: !link_up -> goto failed
    :: goto failed                                              /* cancelled */
    od;

switch_over:
    pause_guest();
    close_hints();
#ifndef BREAK_LOSE_LAST_ROUND                                   /* rule 4, at the end */
    harvest();
#endif
    word = DONE;
    send_pending();
    put(SWITCHOVER, 0, 0);
    if
    :: answers?READY
    :: !link_up -> goto failed
    :: goto failed                                              /* cancelled, or refused */
    fi;
    /* From here on the destination may run it. */
    put(COMMIT, 0, 0);
    if
    :: answers?RUNNING
    :: !link_up -> outcome_unknown = true
    fi;
#ifdef BREAK_RESUME_AT_BOTH                                     /* rule 10 */
    if
    :: outcome_unknown -> goto failed
    :: else
    fi;
#endif
    armed = false;
    goto over;

failed:
    back_out();
over:
    host_over = true
}

/* ---------------------------------------------------------------- the destination */

inline start_here() {
    destination_runs = true;
    assert(!source_runs);                                       /* one owner */
    p = 0;
    do
    :: p < PAGES ->
        /* No page is lost: what matters to the guest is here, and is the last that was sent. */
        assert(!(used[p] && written[p]) || fresh[p] && there[p] == sent[p]);
        p++
    :: else -> break
    od
}

active proctype Destination() {
    mtype kind;
    byte p = 0;
    bit generation;
    bool prepared = false;
    begun;
    do
    :: atomic { link?kind, p, generation ->
            if
            :: kind == PAGE -> there[p] = generation
            :: kind == FREE_PAGE
            :: kind == SWITCHOVER && nfull(answers) ->
#ifdef BREAK_TWO_CHANNELS
                do
                :: second_link?PAGE, p, generation -> there[p] = generation
                :: empty(second_link) -> break
                od;
#endif
                prepared = true; answers!READY
            :: kind == COMMIT && prepared -> start_here(); if :: link_up -> answers!RUNNING :: else fi; break
            fi;
            p = 0; generation = 0
        }
#ifdef BREAK_TWO_CHANNELS
    :: atomic { second_link?kind, p, generation -> there[p] = generation; p = 0; generation = 0 }
#endif
    :: !link_up && empty(link) -> break
    od;
    destination_over = true
}

/* ---------------------------------------------------------------- the link */

/* Breaks at any moment, or never. What was on its way arrives, or does not. */
active proctype Saboteur() {
    mtype kind;
    byte p;
    bit generation;
    begun;
    if
    :: atomic { link_up = false;
            do
            :: nempty(link) -> link?kind, p, generation
            :: break
            od
        }
    :: skip
    fi
}

init {
    byte p;
    atomic {
        p = 0;
        do
        :: p < PAGES ->
            if
            :: used[p] = true; written[p] = true
            :: p != 0 -> skip
            fi;
            p++
        :: else -> break
        od;
        begun = true
    }
}

/* The guest has its pages back, wherever it runs; where nobody knows whether it runs, a person decides first. */
#define nothing_held (!held[0] && !held[1] && !held[PAGES - 1])
ltl ends { <> host_over }
ltl done_comes { <> (host_over && (outcome_unknown || nothing_held)) }

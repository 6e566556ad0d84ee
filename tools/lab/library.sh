# Functions for scripts in the lab: inner machines under aerostat or QEMU, their consoles, and migrations between them. For busybox's sh;
# sourced.
#
# A machine has a name, and files in the folder $LAB_PLACE that begin with it: NAME.in and NAME.out are pipes to its console, NAME.console
# holds its output, each line behind the outer clock's time, NAME.log holds the VMM's output, and NAME.pid the VMM's process id.

command_line="console=ttyS0 quiet panic=-1 $LAB_KERNEL_OPTIONS"
memory=512 # MiB
vcpus=1
vmm=aerostat
echo 0 >"$LAB_PLACE/number"

say() { echo "lab: $*" >&2; }
fail() { say "FAILED: $*"; kill "$$"; exit 1; } # ends the whole script, from a subshell too
end_machines() {
    local file
    for file in "$LAB_PLACE"/*.pid; do kill -9 "$(cat "$file")"; done 2>/dev/null
}
trap end_machines EXIT
trap 'exit 1' TERM HUP INT
result() { echo "$*" >>"$LAB_RESULTS"; } # a line for the standard output of tools/kvm-lab
clock() { # sets $time: seconds since the outer machine's start, in hundredths
    local up
    read -r up _ </proc/uptime
    time=${up%.*}${up#*.}
}
seconds() { echo "$(($1 / 100)).$(($1 / 10 % 10))$(($1 % 10))"; }
# SECONDS WHAT COMMAND...: runs the command ten times a second until it succeeds.
await() {
    local end words=$2
    clock
    end=$((time + $1 * 100))
    shift 2
    until "$@"; do
        clock
        [ "$time" -lt "$end" ] || fail "waited too long for $words"
        usleep 100000
    done
}

# Starts a machine's VMM. MODE is 'boot', 'incoming' PLACE, or 'restore' PLACE.
start() { # NAME MODE [PLACE]
    local name=$1
    rm -f "$LAB_PLACE/$name".*
    mkfifo "$LAB_PLACE/$name.in" "$LAB_PLACE/$name.out"
    : >"$LAB_PLACE/$name.console"
    : >"$LAB_PLACE/$name.log"
    pump "$name" <"$LAB_PLACE/$name.out" &
    echo $! >"$LAB_PLACE/$name.pump"
    clock
    started=$time
    "start_$vmm" "$@" &
    echo $! >"$LAB_PLACE/$name.pid"
}
pump() { # NAME: copies a console's lines until its VMM ends
    local line time
    while IFS= read -r line; do
        line=${line%$'\r'}
        clock
        echo "$time $line" >>"$LAB_PLACE/$1.console"
        echo "$1| $line" >>"$LAB_CONSOLES"
    done
    printf '%s' "$line" >"$LAB_PLACE/$1.partial" # a machine that moves in the middle of a line ends the line elsewhere
}
alive() { kill -0 "$(cat "$LAB_PLACE/$1.pid")" 2>/dev/null; }
vmm_failed() { # NAME
    tail -n 20 "$LAB_PLACE/$1.log" >&2
    fail "the VMM of $1 ended by itself"
}
heard() { # NAME PATTERN: whether the console has such a line
    alive "$1" || vmm_failed "$1"
    grep -q "^[0-9]* $2" "$LAB_PLACE/$1.console"
}
when() { sed -n "s/^\([0-9]*\) $2.*/\1/p" "$LAB_PLACE/$1.console" | head -n 1; } # NAME PATTERN: when the line appeared
await_ready() { await 600 "$1 to boot" heard "$1" @ready; }

take_number() { # sets $number to an unused number, even across subshells
    read -r number <"$LAB_PLACE/number"
    echo $((number += 1)) >"$LAB_PLACE/number"
}
# NAME COMMAND...: prints an inner machine's answer to a command, which is one of the functions of inner-init.
ask() { # NAME COMMAND...
    local name=$1 number
    shift
    take_number
    number=$name$number
    echo "$number $*" >"$LAB_PLACE/$name.in"
    await 600 "$name to answer '$*'" heard "$name" "@$number done"
    sed -n "/^[0-9]* @$number done/d; s/^[0-9]* @$number //p" "$LAB_PLACE/$name.console"
}
stop() { # NAME: makes its VMM quit, and waits for that
    "quit_$vmm" "$1"
    await 120 "the VMM of $1 to end" ended "$1"
    wait "$(cat "$LAB_PLACE/$1.pump")"
}
abandon() { # NAME: kills its VMM, whatever its state
    kill -9 "$(cat "$LAB_PLACE/$1.pid")" 2>/dev/null
    wait "$(cat "$LAB_PLACE/$1.pump")"
}
said() { # NAME...: the lines of these consoles, one console after the other, without the outer clock's times
    local name
    for name in "$@"; do
        sed 's/^[0-9]* //' "$LAB_PLACE/$name.console"
        cat "$LAB_PLACE/$name.partial" 2>/dev/null
    done
}
ended() { ! alive "$1"; }
switch_off() { # NAME: the machine switches itself off, and its VMM ends
    echo "0 off" >"$LAB_PLACE/$1.in"
    await 300 "$1 to switch itself off" ended "$1"
}
# FROM PLACE on|off(hints) [OPTION...]: leaves the report in $LAB_PLACE/FROM.report. Fails if the migration does not end.
migrate() { "migrate_$vmm" "$@"; }
keep() { "keep_$vmm" "$@"; } # NAME MIB: asks the machine to keep so much memory
watch() { "watch_$vmm" "$1"; } # NAME: records its events from now on
# FROM TO, both watched: how many ms the guest was paused, from the source's STOP to the destination's RESUME. The VMMs' own figures end at
# different moments.
downtime() {
    local stopped resumed
    await 60 "$2 to say that it runs" told "$2" RESUME
    stopped=$(event_time "$1" STOP)
    resumed=$(event_time "$2" RESUME)
    [ -n "$stopped" ] && [ -n "$resumed" ] || fail "nobody said when $1 stood still"
    echo $((resumed - stopped))
}
# NAME EVENT: when the event last came, in ms. The VMM's timestamp has seconds and microseconds.
event_time() { "event_times_$vmm" "$@" | tail -n 1 | awk '{ printf "%.0f\n", $1 * 1000 + $2 / 1000 }'; }
told() { [ -n "$(event_time "$1" "$2")" ]; } # NAME EVENT
# Called before a measurement: free memory that the host below has taken back is slow to touch, and the first user would pay for that.
touch_free_memory() {
    if command -v touch_memory >/dev/null; then touch_memory || say "free memory was not touched: what follows may be slow"; fi
}
await_running() { "await_running_$vmm" "$1"; } # NAME
place() { "place_$vmm" "$1"; } # NAME: where an incoming machine waits
. "$LAB/aerostat.sh"
. "$LAB/qemu.sh"
number_in() { sed -n "s/.*\"$2\": *\([0-9.]*\).*/\1/p" "$1" | head -n 1; } # REPORT KEY

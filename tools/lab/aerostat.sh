# Inner machines under aerostat, for library.sh.

start_aerostat() { # NAME MODE [PLACE]
    local name=$1 mode=$2
    shift
    case $mode in
    boot)
        set -- --kernel "$LAB_KERNEL" --initrd "$LAB_INITRD" --command-line "$command_line" --memory "${memory}MiB" --vcpus "$vcpus"
        ;;
    incoming) set -- --incoming "$2" ;;
    restore) set -- --restore "$2" ;;
    esac
    exec aerostat run --guest kvm --console stdio --control "$LAB_PLACE/$name.control" "$@" \
        <>"$LAB_PLACE/$name.in" >"$LAB_PLACE/$name.out" 2>>"$LAB_PLACE/$name.log"
}
ready_aerostat() { # NAME: the line that it prints when it is ready
    alive "$1" || vmm_failed "$1"
    ready=$(sed -n 's/.*\({.*"event":"READY".*}\).*/\1/p' "$LAB_PLACE/$1.log" "$LAB_PLACE/$1.console")
    [ -n "$ready" ]
}
place_aerostat() { # NAME
    await 300 "$1 to wait for a machine" ready_aerostat "$1"
    echo "$ready" | sed -n 's/.*"incoming":"\([^"]*\)".*/\1/p'
}
migrate_aerostat() { # FROM PLACE HINTS OPTION...
    local name=$1 place=$2 hints=$3
    shift 3
    if [ "$hints" = off ]; then set -- --no-hints "$@"; fi
    if ! aerostat migrate --control "$LAB_PLACE/$name.control" "$place" --json "$@" \
        >"$LAB_PLACE/$name.report" 2>"$LAB_PLACE/$name.migrate"; then
        cat "$LAB_PLACE/$name.migrate" "$LAB_PLACE/$name.log" "$LAB_PLACE/$name.report" >&2
        fail "the migration of $name to $place failed"
    fi
}
running_aerostat() { aerostat status --control "$LAB_PLACE/$1.control" --json 2>&1 | grep -q '"running": *true'; }
await_running_aerostat() { await 300 "$1 to run" running_aerostat "$1"; }
quit_aerostat() {
    aerostat quit --control "$LAB_PLACE/$1.control" >/dev/null 2>>"$LAB_PLACE/$1.log" ||
        fail "aerostat quit: $(tail -n 3 "$LAB_PLACE/$1.log")"
}
keep_aerostat() {
    aerostat balloon "$2M" --control "$LAB_PLACE/$1.control" >/dev/null 2>>"$LAB_PLACE/$1.log" ||
        fail "aerostat balloon: $(tail -n 3 "$LAB_PLACE/$1.log")"
}
watch_aerostat() {
    : >"$LAB_PLACE/$1.answers"
    listen "$LAB_PLACE/$1.control" >>"$LAB_PLACE/$1.answers" 2>>"$LAB_PLACE/$1.log" &
    await 60 "$1 to answer" grep -q '"return"' "$LAB_PLACE/$1.answers"
}
event_times_aerostat() {
    sed -n "s/.*\"event\": *\"$2\".*\"microseconds\": *\([0-9]*\).*\"seconds\": *\([0-9]*\).*/\2 \1/p" "$LAB_PLACE/$1.answers"
}

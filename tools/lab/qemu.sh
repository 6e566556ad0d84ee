# Inner machines under Debian's QEMU, for library.sh. Its QMP goes over two pipes.

qemu_hints=on
qemu_balloon='' # further properties of its balloon, each behind a comma

start_qemu() { # NAME MODE [PLACE]
    local name=$1 mode=$2
    shift
    case $mode in
    boot) set -- ;;
    incoming) set -- -incoming "$2" ;;
    restore) set -- -incoming "exec:cat ${2#file:}" ;;
    esac
    mkfifo "$LAB_PLACE/$name.qmp.in" "$LAB_PLACE/$name.qmp.out"
    cat "$LAB_PLACE/$name.qmp.out" >"$LAB_PLACE/$name.answers" &
    exec qemu-system-x86_64-microvm -accel kvm -M microvm,rtc=on -cpu host -smp "$vcpus" -m "$memory" \
        -nodefaults -no-user-config -display none -no-reboot \
        -kernel "$LAB_KERNEL" -initrd "$LAB_INITRD" -append "$command_line" \
        -object iothread,id=hints -device virtio-balloon-device,free-page-hint=$qemu_hints,iothread=hints$qemu_balloon \
        -device virtio-rng-device \
        -chardev stdio,id=console,signal=off -serial chardev:console \
        -chardev "pipe,id=qmp,path=$LAB_PLACE/$name.qmp" -mon chardev=qmp,mode=control "$@" \
        <>"$LAB_PLACE/$name.in" >"$LAB_PLACE/$name.out" 2>>"$LAB_PLACE/$name.log"
}
qmp() { # NAME COMMAND [ARGUMENTS]: the answer, in $answer
    local name=$1 number
    take_number
    if ! [ -e "$LAB_PLACE/$name.greeted" ]; then
        await 300 "QEMU's greeting" test -s "$LAB_PLACE/$name.answers"
        echo '{"execute": "qmp_capabilities"}' >"$LAB_PLACE/$name.qmp.in"
        : >"$LAB_PLACE/$name.greeted"
    fi
    echo "{\"execute\": \"$2\", \"arguments\": {${3:-}}, \"id\": $number}" >"$LAB_PLACE/$name.qmp.in"
    await 300 "QEMU's answer to $2" grep -q "\"id\": $number[,}]" "$LAB_PLACE/$name.answers"
    answer=$(grep "\"id\": $number[,}]" "$LAB_PLACE/$name.answers" | tail -n 1)
    case $answer in *'"error":'*) fail "QEMU answered to $2: $answer" ;; esac
}
quit_qemu() { echo '{"execute": "quit"}' >"$LAB_PLACE/$1.qmp.in"; }
place_qemu() { # NAME
    qmp "$1" query-migrate
    echo "$answer" | sed -n 's/.*"port": "\([0-9]*\)".*/tcp:127.0.0.1:\1/p'
}
migrated_qemu() {
    grep -q '"MIGRATION", "data": {"status": "\(completed\|failed\)"' "$LAB_PLACE/$1.answers"
}
migrate_qemu() { # FROM PLACE HINTS; hints were switched on or off when the machine started
    local uri=$2
    qmp "$1" migrate-set-capabilities '"capabilities": [{"capability": "events", "state": true}]'
    qmp "$1" migrate-set-parameters '"max-bandwidth": 107374182400, "downtime-limit": 300'
    case $uri in file:*) uri="exec:cat >${uri#file:}" ;; esac
    qmp "$1" migrate "\"uri\": \"$uri\""
    clock
    local end=$((time + 18000))
    until migrated_qemu "$1"; do
        clock
        [ "$time" -lt "$end" ] || { say "the migration of $1 under QEMU does not end"; return 1; }
        usleep 100000
    done
    qmp "$1" query-migrate
    echo "$answer" >"$LAB_PLACE/$1.report"
    case $answer in *'"status": "completed"'*) ;; *) fail "the migration ended so: $answer" ;; esac
}
running_qemu() {
    qmp "$1" query-status
    case $answer in *'"running": true'*) return 0 ;; esac
    return 1
}
await_running_qemu() { await 300 "$1 to run" running_qemu "$1"; }
keep_qemu() { qmp "$1" balloon "\"value\": $(($2 << 20))"; }
watch_qemu() { :; } # its events come with its answers
event_times_qemu() {
    sed -n "s/.*\"seconds\": \([0-9]*\), \"microseconds\": \([0-9]*\)}, \"event\": \"$2\".*/\1 \2/p" "$LAB_PLACE/$1.answers"
}

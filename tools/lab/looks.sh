# What a script does with a machine that moves: looks at everything in it, moves it, reports. For busybox's sh; sourced after library.sh.
#
# The script sets $vmm, $vcpus, $here and $there, and $files: how many files 'fill' and 'free_some' left. After the first look, which
# records what is compared later, it sets $begun.

warnings() { # Kernel messages of level warning or above, except that it had no processor for a moment: in a lab that happens
    ask "$here" log | sed -n '/^<[0-4]>/{/Long readout interval\|hrtimer: interrupt took/d; s/\[ *[0-9.]*\]//; p}'
}
counts() { ask "$here" interrupts | sed -n 's/^\([^:]*\):\(\( [0-9]*\)*\) .*/\1\2/p'; } # NAME COUNT..., a count for each processor
ticks() { said "$@" | sed -n 's/^@tick //p'; } # NAME...
ticked_twice() { [ "$(ticks "$1" | wc -l)" -ge 2 ]; }
has_free() { # KIB
    set -- "$1" $(ask "$here" free_memory)
    free=$2
    [ "$free" -ge "$1" ]
}
# The device answers, and with other bytes than the last time.
random_numbers_come() {
    local line
    line=$(ask "$here" random_numbers)
    case $line in
    virtio_rng*' 64 '*) ;;
    *) fail "/dev/hwrng gives no numbers of virtio-rng: $line" ;;
    esac
    [ "$line" != "$numbers" ] || fail "/dev/hwrng gives the same numbers again: $line"
    numbers=$line
}
written() { ask "$here" rewritten | awk '{ sum += $3 } END { print sum }'; }

# Checks the machine where it is now, and compares it with the results of the last check.
look() { # WORDS
    local line now_free pages
    await 300 "the machine's time to go on" ticked_twice "$here"
    # Ticks are complete and in order, and neither clock goes back.
    ticks $from "$here" | awk '
        count && ($1 != count + 1 || $2 < up || $3 < wall) { print "tick", count, up, wall, "was followed by", $0; exit 1 }
        { count = $1; up = $2; wall = $3 }' >&2 || fail "time did not go on as it should"
    if said $from "$here" | grep '@wrong' >&2; then fail "the machine itself saw something wrong"; fi

    ask "$here" check | grep -q "^files $files right" || fail "files are not what they were"
    line=$(ask "$here" rewritten)
    [ "$(echo "$line" | grep -c ' wrong 0$')" = "$vcpus" ] || fail "rewritten memory is wrong, or not rewritten: $line"
    random_numbers_come
    await 300 "memory to be rewritten" rewrites_go_on
    await 300 "every interrupt to come" interrupts_go_on
    warnings >"$LAB_PLACE/warnings"
    if [ -n "$begun" ]; then
        cmp -s "$LAB_PLACE/warnings" "$LAB_PLACE/warnings.first" || { cat "$LAB_PLACE/warnings" >&2; fail "the kernel warns"; }
    else
        mv "$LAB_PLACE/warnings" "$LAB_PLACE/warnings.first"
    fi
    if [ -n "$begun" ]; then await 300 "held memory to come back" has_free $((free_before - slack)); fi
    say "$1: all is well"
}
all_rewrite() { [ "$(ask "$here" rewritten | grep -c written)" = "$vcpus" ]; }
rewrites_go_on() {
    local last=$rewrites
    rewrites=$(written)
    [ "$rewrites" -gt "$last" ]
}
# Checks that timer and console interrupts go on, for every processor that had any.
interrupts_go_on() {
    counts >"$LAB_PLACE/counts"
    [ -e "$LAB_PLACE/counts.last" ] || { mv "$LAB_PLACE/counts" "$LAB_PLACE/counts.last"; return 0; }
    awk '
        FNR == NR { last[$1] = $0; next }
        /^LOC/ { split(last[$1], before); for (i = 2; i <= NF; i++) if ($i <= before[i]) exit 1; seen = 1 }
        END { exit !seen }' "$LAB_PLACE/counts.last" "$LAB_PLACE/counts" || return 1
    mv "$LAB_PLACE/counts" "$LAB_PLACE/counts.last"
}

move() { # HINTS: moves the machine to a fresh process
    local before
    start "$there" incoming tcp:127.0.0.1:0
    before=$(place "$there")
    has_free 0
    free_before=$free
    migrate "$here" "$before" "$1" $verify || fail "the move did not end"
    await_running "$there"
}
swap() {
    from=$here
    stop "$from"
    here=$there there=$from
}
report() { # WORDS NAME
    local file=$LAB_PLACE/$2.report
    if [ "$vmm" = aerostat ]; then
        grep -A 6 '"verify"' "$file" | grep -q '"status": "passed"' || { cat "$file" >&2; fail "the move was not verified"; }
    fi
    result "{\"move\": \"$1\", \"vmm\": \"$vmm\", \"vcpus\": $vcpus, \"total-time\": $(number_in "$file" total-time)," \
        "\"downtime\": $(number_in "$file" downtime), \"transferred\": $(number_in "$file" transferred)}"
}

slack=16384 # KiB by which free memory may differ for other reasons
verify='' from='' begun='' rewrites=-1 numbers=''

# Notices an outer machine that hangs. Sourced, by tools/kvm-lab.

# Watches a machine that reports every few seconds that it is alive, and ends it when it was silent for too long. Returns when the machine
# has ended. A host that sleeps for hours does not count as silence: the function counts its checks, one a second, and not the time between
# them.
end_when_silent() { # PID SECONDS NOTE FILE...: leaves NOTE if the machine was silent; the machine writes to FILES
    local pid=$1 limit=$2 note=$3 size before='' looks=0
    shift 3
    while kill -0 "$pid"; do
        size=$(stat -c %s "$@")
        if [[ $size != "$before" ]]; then before=$size looks=0; fi
        if ((looks >= limit)); then
            echo "$limit" >"$note"
            kill "$pid"
            return
        fi
        ((looks += 1))
        sleep 1
    done
} 2>/dev/null

# The last lines of a console with content, for people.
last_words() { # FILE
    tr -d '\r' <"$1" | grep -v '^[[:space:]]*$' | tail -n 3 | paste -sd'~' | sed 's/~/ ~ /g' | cut -c 1-400
}

# Says how far a machine was when it fell silent.
say_where_it_stood() { # SECONDS RESULTS OUTER-CONSOLE INNER-CONSOLES
    local alive results
    alive=$(sed -n 's/^alive \([0-9]*\).*/\1/p' "$2" | tail -n 1)
    results=$(grep -av '^alive ' "$2" | tail -n 1 | tr -d '\r')
    say "nothing was heard of the outer machine for $1 s: it hangs, and was ended"
    if [[ -n $alive ]]; then
        say "  it was last heard $alive s after its start"
    else
        say "  it had not come as far as its first process"
    fi
    say "  its console: $(last_words "$3" | grep . || echo nothing)"
    say "  inner machines: $(last_words "$4" | grep . || echo nothing)"
    say "  last result: ${results:-none}"
}

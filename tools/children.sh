# Makes programs end together with the script that started them. Sourced by bash scripts.
#
# A shell that waits for a program in the foreground handles no signal before the program ends. If a signal ends the shell, the program
# stays behind. A program started by 'attended' has its own process group, which ends at once when the script is interrupted (Ctrl-C,
# SIGTERM, SIGHUP). If the script is killed, the kernel ends the program.
#
# A script may define 'cleanup'. It is called at the script's end, after its programs have ended.

cleanup() { :; }
attended_group=''
trap 'end_children; cleanup' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

attended() { # COMMAND...: runs it to its end; the exit code is the command's
    local code=0
    set -m # a process group for each job
    setpriv --pdeathsig TERM -- "$@" </dev/null &
    attended_group=$!
    set +m
    wait "$attended_group" || code=$?
    attended_group=''
    return $code
}

end_children() {
    local job patience=100
    # Functions that run in the background: the programs that they attend to end with them.
    for job in $(jobs -pr); do kill "$job" 2>/dev/null || true; done
    [[ -n $attended_group ]] || return 0
    kill -- "-$attended_group" 2>/dev/null || true
    while kill -0 -- "-$attended_group" 2>/dev/null; do
        ((patience-- > 0)) || kill -KILL -- "-$attended_group" 2>/dev/null || true
        sleep 0.1
    done
    wait "$attended_group" 2>/dev/null || true
    attended_group=''
}

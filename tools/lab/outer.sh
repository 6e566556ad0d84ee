# The part of tools/kvm-lab that runs a script in the outer machine. Sourced.

tree=$work/tree
mkdir -p "$tree"/lab "$tree"/usr/{bin,share/qemu}
put() { # PROGRAM NAME: copies it with its libraries, each to the path that it has here
    local library
    ln -sf "$1" "$tree/usr/bin/$2" # QEMU finds its firmware relative to this path
    ldd "$1" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p; s/^\t\(\/[^ ]*\) .*/\1/p' | while read -r library; do
        mkdir -p "$tree${library%/*}"
        ln -sf "$(realpath "$library")" "$tree$library"
    done
}
if [[ -e $binary ]]; then put "$binary" aerostat; fi
put /usr/bin/qemu-system-x86_64-microvm qemu-system-x86_64-microvm
for firmware in /usr/share/qemu/bios-microvm.bin /usr/share/qemu/linuxboot_dma.bin /usr/share/qemu/pvh.bin; do
    ln -s "$firmware" "$tree/usr/share/qemu/"
done
ln -s "$base/kernel" "$base/inner" "$PWD"/tools/lab/{library,looks,aerostat,qemu}.sh "$tree/lab/"
ln -s "$PWD"/tools/lab/{scenario,balloon,balloon-bench,bench} "$tree/lab/"
if [[ $what == /* ]]; then ln -s "$what" "$tree/lab/script"; fi
# QEMU's SVM does not intercept XSETBV: KVM would not know which states an inner machine has enabled, and would not keep them. Software
# emulation may also stop a processor of the machine for many seconds, which must not look like a lockup.
options='noxsave watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120'
environment /lab /lab/kernel /lab/inner "$options" /dev/ttyS2 /dev/ttyS1 /tmp >"$tree/lab/environment"
if ((${#arguments[@]} > 0)); then
    printf '#!/bin/busybox sh\ncd /lab && exec sh%s\n' "$(printf ' %q' "${arguments[@]}")" >"$tree/lab/run"
    chmod +x "$tree/lab/run"
fi
{ cat "$base/outer"; (cd "$tree" && find . | cpio --quiet -L -o -H newc -R 0:0); } >"$work/initramfs"

# Software emulation executes 'rep movsb' byte by byte, which takes longer than everything else together. Without ERMS and FSRM the kernel
# copies words.
qemu=(setpriv --pdeathsig TERM timeout --foreground --kill-after=5 "$limit" qemu-system-x86_64
    -nodefaults -no-user-config -display none -no-reboot
    -machine pc -accel tcg,thread=multi -cpu max,-erms,-fsrm -smp 2 -m 4096
    -kernel "$base/kernel" -initrd "$work/initramfs"
    -append "console=ttyS0 panic=-1 quiet loglevel=5 nokaslr mitigations=off no_timer_check tsc=reliable tsc_early_khz=$("$base/tsc")")

if [[ $what == shell ]]; then
    "${qemu[@]}" -serial mon:stdio -serial "file:$work/inner" -serial "file:$work/results" 9>&-
    exit
fi
: >"$work/outer-console"
: >"$work/inner-consoles"
: >"$work/results"
"${qemu[@]}" -serial "file:$work/outer-console" -serial "file:$work/inner-consoles" -serial "file:$work/results" \
    >"$work/qemu" 2>&1 </dev/null 9>&- &
running=$!
. tools/lab/silence.sh
end_when_silent "$running" "$silence" "$work/silent" "$work/results" "$work/outer-console" "$work/inner-consoles" 9>&- &
show=() # processes that show lines as they come, until the machine ends
tail -s 0.2 --pid="$running" -n +1 -f "$work/outer-console" 9>&- | sed -u 's/\r$//; s/^/outer| /' >&2 & show+=($!)
tail -s 0.2 --pid="$running" -n +1 -f "$work/inner-consoles" 9>&- >&2 & show+=($!)
tail -s 0.2 --pid="$running" -n +1 -f "$work/results" 9>&- | grep --line-buffered -vE '^(exit|alive) ' & show+=($!)
code=0
wait "$running" || code=$?
running=''
wait "${show[@]}" || true
result=$(sed -n 's/^exit \([0-9]*\)\r*$/\1/p' "$work/results" | tail -n 1)
if [[ -n $result ]]; then exit "$result"; fi
cat "$work/qemu" >&2
keep=yes
if [[ -e $work/silent ]]; then
    say_where_it_stood "$(<"$work/silent")" "$work/results" "$work/outer-console" "$work/inner-consoles"
    exit 1
fi
if ((code == 124 || code == 137)); then fail "the lab did not come to its end within $limit s"; fi
fail "the outer machine failed (QEMU ended with code $code)"

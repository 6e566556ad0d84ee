# The part of tools/kvm-lab that runs a script on this machine's own KVM. Sourced.

[[ -e /dev/kvm ]] || fail "there is no /dev/kvm here; without --native the lab brings its own"
[[ -r /dev/kvm && -w /dev/kvm ]] || fail "/dev/kvm is not for $(id -un): it takes the group $(stat -c %G /dev/kvm), or root"
grep -qwE 'vmx|svm' /proc/cpuinfo ||
    fail "this processor has neither VMX nor SVM: such a /dev/kvm emulates, and cannot run Linux; without --native the lab brings its own"

mkdir "$work/bin" "$work/place"
"$base/busybox" --install -s "$work/bin"
ln -s "$base/listen" "$binary" "$work/bin/"
eval "$(environment "$PWD/tools/lab" "$base/kernel" "$base/inner" '' /dev/stdout /dev/stderr "$work/place")"
export PATH=$work/bin:$PATH
cd tools/lab
if [[ $what == /* ]]; then arguments=("$what"); fi
setpriv --pdeathsig TERM timeout --kill-after=5 "$limit" "$work/bin/sh" "${arguments[@]}" </dev/null 9>&- &
running=$!
code=0
wait "$running" || code=$?
running=''
if ((code == 124 || code == 137)); then say "the script did not come to its end within $limit s"; fi
exit "$code"

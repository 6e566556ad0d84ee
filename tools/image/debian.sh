# For scripts that take files from Debian packages. apt fetches the packages with a state of its own, and dpkg-deb unpacks them. Nothing is
# installed on this host, and nothing needs root. Sourced; the caller has made the folder $work and changed into it.

debian_begin() { # Fetches the lists of packages, for a machine that has nothing yet.
    mkdir -p "$work"/{lists,kernel}/partial
    : >"$work/nothing-installed"
    cat >"$work/apt.conf" <<END
Dir::State "$work";
Dir::State::Lists "$work/lists";
Dir::Cache "$work";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "3";
Debug::NoLocking "true";
// What this host does after an update of its own.
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
    mkdir -p "$work/first/partial"
    apt nothing-installed first update
}
# STATUS DIRECTORY ARGUMENT...: apt-get for a machine whose installed packages are those of STATUS, with archives in DIRECTORY.
apt() { apt-get -qq -c "$work/apt.conf" -o Dir::State::Status="$work/$1" -o Dir::Cache::Archives="$work/$2" "${@:3}" </dev/null >&2; }

# Unpacks Debian's newest cloud kernel and a static busybox into the folder 'kernel'. Sets $release to the kernel's release name.
debian_kernel() {
    local package
    package=$(apt-cache -c apt.conf -o Dir::State::Status="$work/nothing-installed" depends linux-image-cloud-amd64 |
        sed -n 's/^ *Depends: \(linux-image-[^ ]*\).*/\1/p' | head -n 1)
    (cd kernel && apt nothing-installed kernel download "$package" busybox-static)
    local file
    for file in kernel/*.deb; do dpkg-deb -x "$file" kernel; done
    release=${package#linux-image-}
}
debian_kernel_version() { dpkg-deb -f kernel/linux-image-*.deb Version; }

# TREE FIND-EXPRESSION...: makes a tree for an initramfs, with busybox and those kernel modules; modprobe finds the modules.
initramfs_tree() {
    local tree=$1
    mkdir -p "$tree"/{bin,dev,proc,sys} "$tree/lib/modules/$release"
    cp kernel/bin/busybox "$tree/bin/"
    find "kernel/lib/modules/$release" \( "${@:2}" \) -exec cp {} "$tree/lib/modules/$release/" \;
    kernel/bin/busybox depmod -b "$tree" "$release"
}
pack_initramfs() { (cd "$1" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible); } # TREE

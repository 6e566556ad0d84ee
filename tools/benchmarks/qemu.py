"""The best-known alternative on the same machine: a small Linux guest under QEMU without KVM, migrated over loopback."""

import glob
import os
import re
import shutil
import subprocess
import time

from processes import GIB, ROOT, SECONDS, Child, Control, Failed, hold, release

LAB = os.path.join(ROOT, ".cache", "qemu")
QEMU = "qemu-system-x86_64"
MODULES = "virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_balloon".split()
READY = b"GUEST-IS-IDLE"

# Fills 1 GiB of memory with data that is not zero, frees it, and then idles.
INIT = """#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in MODULES; do insmod /$module.ko; done
mkdir /work; mount -t tmpfs -o size=1200m none /work
dd if=/dev/urandom of=/seed bs=1M count=8 2>/dev/null
for i in $(seq 128); do cat /seed; done >/work/file
rm /work/file /seed; echo 3 >/proc/sys/vm/drop_caches; sleep 1
free -m; echo READY
while true; do sleep 1000; done
""".replace("MODULES", " ".join(MODULES)).replace("READY", READY.decode())


def what_is_missing():
    """Why the comparison is impossible, or None if it is possible."""
    for program, package in ((QEMU, "qemu-system-x86"), ("cpio", "cpio"), ("dpkg", "dpkg")):
        if not shutil.which(program):
            return f"{program} is not installed (apt-get install {package})"
    try:
        make_lab()
    except (subprocess.CalledProcessError, Failed) as error:
        return f"no Linux guest could be made: {error}"
    return None


def version():
    text = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout
    return "QEMU " + re.search(r"version ([\d.]+)", text)[1]


def make_lab():
    """Debian's cloud kernel and an initramfs around busybox; both packages are unpacked, not installed."""
    if os.path.exists(os.path.join(LAB, "initramfs")):
        return
    os.makedirs(LAB, exist_ok=True)
    words = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True, check=True).stdout
    kernel = re.search(r"Depends: (linux-image-\S+)", words)
    if not kernel:
        raise Failed("apt knows no linux-image-cloud-amd64")
    for package in (kernel[1], "busybox-static"):
        subprocess.run(["apt-get", "-q", "download", package], cwd=LAB, check=True, capture_output=True)
    for package in glob.glob(os.path.join(LAB, "*.deb")):
        subprocess.run(["dpkg", "-x", package, os.path.join(LAB, "unpacked")], check=True)

    tree = os.path.join(LAB, "tree")
    shutil.rmtree(tree, ignore_errors=True)
    for folder in ("bin", "dev", "proc", "sys"):
        os.makedirs(os.path.join(tree, folder))
    shutil.copy(os.path.join(LAB, "unpacked/bin/busybox"), os.path.join(tree, "bin"))
    for name in "sh mount insmod mkdir dd seq cat rm sleep free echo".split():
        os.symlink("busybox", os.path.join(tree, "bin", name))
    for module in MODULES:
        found = glob.glob(os.path.join(LAB, f"unpacked/lib/modules/*/kernel/**/{module}.ko"), recursive=True)
        if not found:
            raise Failed(f"the kernel has no module {module}")
        shutil.copy(found[0], tree)
    shutil.copy(glob.glob(os.path.join(LAB, "unpacked/boot/vmlinuz-*"))[0], os.path.join(LAB, "vmlinuz"))
    init = os.path.join(tree, "init")
    with open(init, "w") as file:
        file.write(INIT)
    os.chmod(init, 0o755)
    archive = "find . | cpio --quiet -o -H newc >../initramfs.new && mv ../initramfs.new ../initramfs"
    subprocess.run(archive, shell=True, cwd=tree, check=True)


def command(path, hints, *more):
    return [
        QEMU, "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "2048", "-nodefaults", "-display", "none",
        "-kernel", os.path.join(LAB, "vmlinuz"), "-initrd", os.path.join(LAB, "initramfs"), "-append", "console=ttyS0 quiet",
        "-object", "iothread,id=hints",
        "-device", f"virtio-balloon-pci,free-page-hint={'on' if hints else 'off'},iothread=hints",
        "-serial", f"file:{path}.serial", "-qmp", f"unix:{path},server=on,wait=off", *more,
    ]


class Source(Child):
    """A guest that is booted once and migrated several times. It is paused in between."""

    def __init__(self, folder, hints):
        self.path = os.path.join(folder, f"qemu-{'on' if hints else 'off'}")
        self.hints = hints
        super().__init__(command(self.path, hints), log=self.path + ".log")
        try:
            self.control = Control(self.path)
            # The guest answers hints only while it runs. It is paused so that it does not disturb the other measurements.
            self.wait_until_idle()
            self.control.execute("stop")
        except BaseException:
            self.__exit__()
            raise

    def wait_until_idle(self):
        deadline = time.monotonic() + SECONDS
        while True:
            with open(self.path + ".serial", "rb") as file:
                said = file.read()
            if READY in said:
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"the guest under QEMU did not boot; it said: {said[-300:]!r}")
            time.sleep(0.2)

    def migrate(self):
        """The report of one migration to a fresh process, as query-migrate returns it."""
        path = self.path + ".to"
        with Child(command(path, self.hints, "-incoming", "defer"), log=path + ".log") as destination:
            control = Control(path)
            control.execute("migrate-incoming", uri="tcp:127.0.0.1:0")
            place = control.execute("query-migrate")["socket-address"][0]
            with hold(int(1.5 * GIB)) as held:
                self.control.execute("cont")
                time.sleep(0.5)
                for side in (self.control, control):
                    side.execute("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
                # Otherwise QEMU's own limit of 128 MiB/s would decide.
                self.control.execute("migrate-set-parameters", max_bandwidth=100 << 30, downtime_limit=300)
                release(held)
                self.control.execute("migrate", uri=f"tcp:127.0.0.1:{place['port']}")
                report = self.control.end_of_migration()
            control.execute("quit")
            destination.process.wait()
        return report

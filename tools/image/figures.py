#!/usr/bin/env python3
"""Prints figures of a RAM dump and its /proc/kpageflags: how much is free, in which blocks, how much is zero, how well the rest compresses.

usage: figures.py RAM PAGE_FLAGS
"""

import os
import random
import struct
import sys
import zlib

PAGE = 4096
TOP_ORDER_PAGES = 1024  # 4 MiB: Linux's largest free block on x86-64
KPF_BUDDY = 1 << 10  # free, in the buddy allocator
KPF_NOPAGE = 1 << 20
SAMPLE = 4096  # pages compressed


def data_pages(file, pages):
    """The page indices that are not in holes, in order."""
    offset = 0
    while offset < pages * PAGE:
        try:
            offset = os.lseek(file, offset, os.SEEK_DATA)
        except OSError:  # ENXIO: no more data
            return
        end = os.lseek(file, offset, os.SEEK_HOLE)
        yield from range(offset // PAGE, min((end + PAGE - 1) // PAGE, pages))
        offset = end


def filled_pages(file, pages):
    """For each page, whether it holds anything but zeros."""
    filled, zero = bytearray(pages), bytes(PAGE)
    for page in data_pages(file, pages):
        filled[page] = os.pread(file, PAGE, page * PAGE) != zero
    return filled


def compressibility(file, candidates):
    """Over a sample of the pages: compressed size / size, and the share of pages that shrink to half or less."""
    sample = random.Random(1).sample(candidates, min(SAMPLE, len(candidates)))
    sizes = [len(zlib.compress(os.pread(file, PAGE, page * PAGE), 1)) for page in sample]
    return sum(sizes) / (len(sizes) * PAGE), sum(size <= PAGE // 2 for size in sizes) / len(sizes)


def main():
    ram_path, flags_path = sys.argv[1:]
    with open(ram_path, "rb") as ram, open(flags_path, "rb") as flags_file:
        status = os.fstat(ram.fileno())
        pages = status.st_size // PAGE
        raw = flags_file.read()
        if len(raw) != pages * 8:
            sys.exit(f"figures: {flags_path} has {len(raw)} bytes; {pages} frames need {pages * 8}")
        flags = struct.unpack(f"<{pages}Q", raw)
        filled = filled_pages(ram.fileno(), pages)
        free = bytearray(bool(word & KPF_BUDDY) for word in flags)
        whole = b"\x01" * TOP_ORDER_PAGES
        blocks = sum(free[first : first + TOP_ORDER_PAGES] == whole for first in range(0, pages, TOP_ORDER_PAGES))
        used = [page for page in range(pages) if filled[page] and not free[page]]
        if not used:
            sys.exit(f"figures: {ram_path} holds no used page: not a machine's memory")
        ratio, half = compressibility(ram.fileno(), used)

    def pages_row(name, count, of=pages, share="of all"):
        return name, f"{count}", f"{count * PAGE / 2**20:.1f} MiB", f"{100 * count / max(of, 1):.1f} % {share}"

    free_count = sum(free)
    free_filled = sum(f and d for f, d in zip(free, filled))
    rows = [
        ("", "pages", "size", ""),
        pages_row("frames", pages),
        pages_row("  without a page (KPF_NOPAGE)", sum(bool(word & KPF_NOPAGE) for word in flags)),
        pages_row("free", free_count),
        pages_row("  in whole 4 MiB blocks", blocks * TOP_ORDER_PAGES, free_count, "of free"),
        pages_row("  zero", free_count - free_filled, free_count, "of free"),
        pages_row("  with old content", free_filled, free_count, "of free"),
        pages_row("zero", pages - sum(filled)),
        pages_row("used and not zero", len(used)),
        ("  zlib level 1 leaves", "", "", f"{100 * ratio:.1f} % of bytes"),
        ("  shrink to half or less", "", "", f"{100 * half:.1f} % of pages"),
        pages_row("populated in the host's file", status.st_blocks * 512 // PAGE),
    ]
    for name, count, size, share in rows:
        print(f"{name:<32}{count:>9}{size:>13}  {share}".rstrip())


if __name__ == "__main__":
    main()

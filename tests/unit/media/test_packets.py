"""A stream's digest is that of its packets and their lengths, however they are collected."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from blake3 import blake3

from copal.media.packets import BLOCK, PacketDigest

SIZES = {
    "none": [],
    "small": [0, 1, 7, 1000],
    "a block exactly": [BLOCK - 8],
    "one byte short of it": [BLOCK - 9, 1],
    "a length over the end": [BLOCK - 12, 5],
    "many blocks": [3 * BLOCK + 1, 20, BLOCK, BLOCK - 3, 2 * BLOCK],
    "a film": [random.Random(1).randrange(1, 60_000) for _ in range(300)],
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_blocks_and_threads_do_not_show(sizes: list[int]) -> None:
    """
    Two streams hashed by one thread have the digests of their packets put one after another.
    """
    rng = random.Random(0)
    packets = [[rng.randbytes(size) for size in sizes] for _ in range(2)]
    with ThreadPoolExecutor(1) as pool:
        digests = [PacketDigest(pool) for _ in packets]
        for each in zip(*packets, strict=True):
            for digest, packet in zip(digests, each, strict=True):
                digest.add(packet, len(packet))
        found = [digest.text() for digest in digests]
    for stream, text in zip(packets, found, strict=True):
        whole = b"".join(len(p).to_bytes(8, "little") + p for p in stream)
        assert text == blake3(whole).hexdigest()


def test_what_fits_a_block_starts_no_thread() -> None:
    """
    Most files of a catalogue's tests, and every caption, are hashed where they are read.
    """
    with ThreadPoolExecutor(1) as pool:
        digest = PacketDigest(pool)
        digest.add(b"x" * 1000, 1000)
        assert digest.text() and not pool._threads

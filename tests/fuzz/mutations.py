"""Bytes in, other bytes out, by a seeded generator."""

import random
from collections.abc import Callable

Bytes = Callable[[bytes, random.Random], bytes]
_SIZES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def flip(content: bytes, rng: random.Random) -> bytes:
    """One to eight bits turned over."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(content: bytes, rng: random.Random) -> bytes:
    """The end is missing."""
    return content[: rng.randrange(len(content) + 1)]


def overwrite(content: bytes, rng: random.Random) -> bytes:
    """A stretch of noise, zeros, or a size that is at the edge of its type."""
    changed = bytearray(content)
    at = rng.randrange(len(changed) + 1)
    noise = rng.randbytes(rng.randrange(1, 64))
    size = rng.choice(_SIZES).to_bytes(8, "little")[: rng.choice((1, 2, 4, 8))]
    piece = rng.choice((noise, bytes(len(noise)), size))
    changed[at : at + len(piece)] = piece
    return bytes(changed)


def splice(content: bytes, rng: random.Random) -> bytes:
    """A stretch is cut out, doubled, or moved to another place."""
    one, other = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    other = min(other, one + 4096)
    to = rng.randrange(len(content) + 1)
    rest = content[:one] + content[other:]
    return rng.choice((rest, content[:other] + content[one:], rest[:to] + content[one:other] + rest[to:]))


def nothing_in_it(content: bytes, rng: random.Random) -> bytes:
    """No bytes at all, or only zeros, or text."""
    return rng.choice((b"", bytes(len(content)), b"version https://git-lfs.github.com/spec/v1\n", rng.randbytes(256)))


ALL: tuple[Bytes, ...] = (flip, flip, flip, truncate, overwrite, overwrite, splice, nothing_in_it)


def any_of(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Returns the name of a mutation and what it makes of `content`."""
    mutate = rng.choice(ALL)
    return mutate.__name__, mutate(content, rng)

"""Arrays of a type, a shape and a domain: seeded, spread over the domain, never all alike where that can be helped."""

import numpy as np
import tensorflow as tf

from export_v1.proof.domain import UNSAID, Domain

# How floats of a further set differ from the first: their scale, and whether both signs occur.
_SCALES = ((1.0, False), (1.0, True), (10.0, True), (0.05, True))
_PIXELS = {tf.uint8: (0, 256), tf.int8: (-128, 128)}


def made(dtype: tf.DType, sizes: list[int], domain: Domain | None, rng: np.random.Generator, variation: int = 0):
    """Returns an array of numbers or bools.

    Args:
        dtype: no string.
        sizes: its shape.
        domain: what its readers can take; None where they say nothing.
        rng: where the values come from.
        variation: 0 for floats in [0, 1); others have other scales, and both signs, where the domain leaves that open.
    """
    if dtype == tf.bool:
        every_other = np.arange(int(np.prod(sizes))).reshape(sizes) % 2 == 0
        return every_other if not variation else rng.permutation(every_other.ravel()).reshape(sizes)
    if dtype.is_integer or dtype.is_quantized:
        limits = domain or (Domain(*_PIXELS[dtype]) if dtype in _PIXELS and len(sizes) > 1 else Domain())
        return _integers(limits, sizes, rng).astype(dtype.as_numpy_dtype)
    return _floats(dtype, sizes, domain, rng, variation).astype(dtype.as_numpy_dtype)


def _floats(dtype: tf.DType, sizes: list[int], domain: Domain | None, rng, variation: int) -> np.ndarray:
    if domain is not None and domain.order == "definite" and len(sizes) > 1 and sizes[-1] == sizes[-2]:
        half = rng.standard_normal(sizes)
        return half @ np.swapaxes(half, -1, -2) + sizes[-1] * np.eye(sizes[-1])
    if domain is not None and not domain.order:
        low, high = (np.where(limit == unsaid, at, limit) for limit, unsaid, at in _limits(domain))
        return low + rng.random(sizes) * (high - low)
    if not sizes:
        # A rate, a probability or a temperature more often than not.
        return 0.1 + 0.8 * rng.random(sizes)
    scale, is_signed = _SCALES[variation % len(_SCALES)]
    numbers = (rng.standard_normal(sizes) if is_signed else rng.random(sizes)) * scale
    if dtype.is_complex:
        numbers = numbers + 1j * scale * rng.random(sizes)
    return numbers


def _limits(domain: Domain):
    """Returns each limit, how it is written where no reader says anything, and what it is then."""
    return (
        (np.asarray(domain.low, float), UNSAID[0], Domain.low),
        (np.asarray(domain.high, float), UNSAID[1], Domain.high),
    )


def _integers(domain: Domain, sizes: list[int], rng) -> np.ndarray:
    low, high = (np.where(limit == unsaid, at, limit) for limit, unsaid, at in _limits(domain))
    low = np.ceil(low).astype(np.int64)
    high = np.maximum(np.ceil(high).astype(np.int64), low + 1)
    if not low.size:
        # Limits for each axis of a scalar.
        return _integers(Domain(), sizes, rng)
    try:
        low, high = np.broadcast_to(low, sizes), np.broadcast_to(high, sizes)
    except ValueError:
        low, high = np.full(sizes, np.min(low)), np.full(sizes, max(np.min(high), np.min(low) + 1))
    if domain.order and len(sizes) > 0 and int(np.prod(sizes)):
        return _in_order(domain.order, low, high, sizes, rng)
    numbers = rng.integers(low, high, size=sizes)
    if numbers.size > 1 and np.all(numbers == numbers.flat[0]):
        # Lengths that are all alike, or one row looked up again and again, show less.
        for at in range(numbers.size - 1, -1, -1):
            if high.flat[at] - low.flat[at] > 1:
                numbers.flat[at] = low.flat[at] if numbers.flat[at] != low.flat[at] else high.flat[at] - 1
                break
    return numbers


def _in_order(order: str, low: np.ndarray, high: np.ndarray, sizes: list[int], rng) -> np.ndarray:
    least, end = int(low.flat[0]), int(high.flat[0])
    if order == "rows" and len(sizes) > 1:
        return _rows(low.reshape(-1, sizes[-1])[0], high.reshape(-1, sizes[-1])[0], sizes, rng)
    count = int(np.prod(sizes))
    if order in ("distinct", "rows"):
        pool = rng.permutation(np.arange(least, max(end, least + 1)))
        numbers = np.resize(pool, count)
        return (np.sort(numbers) if order == "rows" else numbers).reshape(sizes)
    if order == "splits":
        numbers = np.sort(rng.integers(least, end, count))
        numbers[0], numbers[-1] = least, end - 1
        return numbers.reshape(sizes)
    if order == "parts":
        return rng.multinomial(max(end - 1, 0), np.full(count, 1 / count)).reshape(sizes)
    # Rising by one at most, so that no number below the largest is left out.
    steps = rng.integers(0, 2, count)
    steps[0] = 0
    if count > 1 and end - least > 1 and not steps.any():
        steps[-1] = 1
    return np.minimum(least + np.cumsum(steps), end - 1).reshape(sizes)


def _rows(low: np.ndarray, high: np.ndarray, sizes: list[int], rng) -> np.ndarray:
    """Returns index vectors in order, no two of them equal where there is room."""
    count, room = int(np.prod(sizes[:-1])), (high - low).tolist()
    places = int(np.prod(room, dtype=np.float64).clip(1, 2**31))
    chosen = (
        np.sort(rng.permutation(min(places, 4 * count + 64))[:count]) if places >= count else np.arange(count) % places
    )
    return (np.stack(np.unravel_index(chosen, room), axis=-1) + low).reshape(sizes)

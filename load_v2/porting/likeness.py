"""How much two names are alike to a person: `3a_b1` is `Mixed_3a/Branch_1`. Good for a proposal, never for a match."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

_PARTS = re.compile(r"[/_.\-]+")
# A word, or a word with what numbers it: `b1`, `3a`, `conv2d`, `1x1`.
_WORD = re.compile(r"([a-z]*)(\d[a-z0-9]*)?")
# `conv2d` is `conv`: a number before a d says how many axes there are.
_AXES = re.compile(r"[1-3]d")


class Word(NamedTuple):
    """A word of a name, and what numbers it; either may be empty."""

    letters: str
    number: str


def words(name: str) -> list[Word]:
    """Returns the words of a name.

    >>> words("Mixed_3a/Branch_1/Conv2d_0b_1x1")
    [Word('mixed', '3a'), Word('branch', '1'), Word('conv', '0b'), Word('', '1x1')]
    """
    parts: list[Word] = []
    for part in filter(None, _PARTS.split(name.split("#")[0])):
        matched = _WORD.fullmatch(part.lower())
        word = Word(*(matched.group(1), matched.group(2) or "")) if matched else Word(part.lower(), "")
        if _AXES.fullmatch(word.number):
            word = Word(word.letters, "")
        if parts and not word.letters and word.number and parts[-1].letters and not parts[-1].number:
            parts[-1] = Word(parts[-1].letters, word.number)
        else:
            parts.append(word)
    return parts


class Likeness:
    """Compares names of two sides; what all names of a side have in common counts for little.

    Args:
        sources: names on the one side.
        targets: names on the other.
    """

    def __init__(self, sources: Iterable[str], targets: Iterable[str]):
        self._words: dict[str, list[Word]] = {name: words(name) for name in (*sources, *targets)}
        self._total = max(len(self._words), 1)
        self._count = Counter(word for words in self._words.values() for word in set(words))

    def of(self, source: str, target: str) -> float:
        """Returns how alike two names are, from 0 to 1: words that agree, in their order, by how rare they are."""
        ours, theirs = self._words[source], self._words[target]
        best = [[0.0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
        for i, word in enumerate(ours, 1):
            for j, other in enumerate(theirs, 1):
                together = best[i - 1][j - 1] + _alike(word, other) * min(self._weight(word), self._weight(other))
                best[i][j] = max(together, best[i - 1][j], best[i][j - 1])
        wanted, given = (sum(map(self._weight, side)) for side in (theirs, ours))
        # What the checkpoint's longer names have besides counts, but less than what the model's names lack.
        whole = 0.75 * wanted + 0.25 * max(given, wanted)
        return best[-1][-1] / whole if whole else 0.0

    def shared(self, source: str, target: str) -> list[str]:
        """Returns the words of the target that the source has, too, as they stand there."""
        return [
            f"{word.letters}{word.number}"
            for word in self._words[target]
            if max((_alike(other, word) for other in self._words[source]), default=0.0) > 0.5
        ]

    def _weight(self, word: Word) -> float:
        rare = 1.0 - self._count[word] / (self._total + 1)
        return (0.25 + rare) * (2.0 if word.number else 1.0)


def _alike(word: Word, other: Word) -> float:
    """Returns how much two words are one, from 0 to 1."""
    if word == other:
        return 1.0
    if word.number and other.number and word.number != other.number:
        return 0.0
    letters = _same_letters(word.letters, other.letters)
    if not word.number and not other.number:
        return letters
    for short, long in ((word, other), (other, word)):
        if len(short.letters) == 1 and not short.number and long.number[1:] == short.letters:
            # `a` of `Conv2d_0a`.
            return 0.6
    if word.number != other.number:
        # One of them has no number: the same word, perhaps.
        return 0.4 * letters
    # The same number behind two words: `layer_11`, `encoder_11`.
    return 0.4 + 0.6 * letters if letters or not (word.letters and other.letters) else 0.25


def _same_letters(letters: str, other: str) -> float:
    if letters == other:
        return 1.0
    if not letters or not other:
        return 0.3
    short, long = sorted((letters, other), key=len)
    if long.startswith(short):
        return 0.9
    if short[0] == long[0] and _is_inside(short, long):
        # `bn` in `batchnorm`, `dw` in `depthwise`.
        return 0.8
    ratio = difflib.SequenceMatcher(None, letters, other).ratio()
    return ratio if ratio > 0.75 else 0.0


def _is_inside(short: str, long: str) -> bool:
    letters = iter(long)
    return all(letter in letters for letter in short)

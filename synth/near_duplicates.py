"""Near-duplicates: the same photo at another size, quality or brightness, or slightly cropped.

Two comparisons are used. Photos with content everywhere are compared by a difference hash of
64 bits (8 rows of 8 differences): two are near if at most :data:`NEAR` bits differ. In plain
pictures (plain ground, sky, a page) most differences are close to zero, and different pictures
get the same hash. They are compared by a detail of :mod:`synth.plain_ground` instead. A mirrored
photo is not a near-duplicate, because the anomaly is at another place in it.
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from synth import plain_ground
from synth.workers import Run

NEAR = 4  # bits of 64 in which the hashes of near-duplicates may differ
STEPS = 32  # a picture with fewer non-flat differences of the 64 is plain
JOB = 100_000  # hashes that one job compares, about
BLOCK = 64  # hashes that are compared at once with all others of an equal band
_FLAT = 2  # code values up to which a difference is flat


@dataclass(frozen=True)
class Signature:
    """What near-duplicates are recognised by.

    Args:
        dhash: 64-bit difference hash.
        detail: result of :func:`synth.plain_ground.detail` for a plain picture; else empty.
    """

    dhash: int
    detail: bytes = b""

    def encode_detail(self) -> str:
        """The detail as base-85 text for JSON; :func:`decode_detail` decodes it."""
        return base64.b85encode(self.detail).decode("ascii")


def decode_detail(text: str) -> bytes:
    """Text of :meth:`Signature.encode_detail` -> the detail; empty if the text is invalid."""
    try:
        detail = base64.b85decode(text)
    except ValueError:
        return b""
    return detail if len(detail) == plain_ground.BYTES else b""


def dhash(image: Image.Image) -> int:
    """RGB picture -> 64-bit difference hash; near-duplicates differ in few bits.

    Source: N. Krawetz, "Kind of Like That" (2013).
    """
    return _hash(_cells(image))


def is_plain(image: Image.Image) -> bool:
    """Whether an RGB picture is plain: most differences of its hash are flat."""
    return _is_flat(_cells(image))


def signature(image: Image.Image) -> Signature:
    """RGB picture -> its signature."""
    cells = _cells(image)
    return Signature(_hash(cells), plain_ground.detail(image) if _is_flat(cells) else b"")


def _cells(image: Image.Image) -> np.ndarray:
    """RGB picture -> (8, 9) int16: grey values whose differences make the hash."""
    factor = min(image.width // 72, image.height // 64)
    if factor > 1:
        image = image.reduce(factor)
    grey = image.convert("L").resize((9, 8), Image.Resampling.BOX)
    return np.asarray(grey, dtype=np.int16)


def _hash(cells: np.ndarray) -> int:
    bits = (cells[:, 1:] > cells[:, :-1]).reshape(-1)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _is_flat(cells: np.ndarray) -> bool:
    """Whether less than :data:`STEPS` differences exceed noise and the slope of smooth ground."""
    detail = plain_ground.subtract_ground(cells[..., None].astype(np.float32))[..., 0]
    return int((np.abs(detail[:, 1:] - detail[:, :-1]) > _FLAT).sum()) < STEPS


class DetailTable:
    """The details of plain pictures by ascending index: about 400 bytes each."""

    def __init__(self) -> None:
        self._numbers = array("Q")
        self._bytes = bytearray()

    def add(self, number: int, detail: bytes) -> None:
        """Adds the detail of a picture, unless it is empty."""
        if detail:
            self._numbers.append(number)
            self._bytes += detail

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """-> (N,) int64 indices and (N, B) uint8 details."""
        numbers = np.array(self._numbers, np.int64)
        return numbers, np.frombuffer(self._bytes, np.uint8).reshape(-1, plain_ground.BYTES)


class SignatureIndex:
    """The signatures of all photos so far, for comparison with a new one."""

    def __init__(self) -> None:
        self._count, self._plain_count = 0, 0
        self._hashes = np.zeros(256, np.uint64)
        self._plain = np.zeros(256, bool)
        self._details = np.zeros((16, plain_ground.BYTES), np.uint8)

    def add(self, new: Signature) -> None:
        """Adds the signature of a photo."""
        if self._count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
            self._plain = np.concatenate([self._plain, np.zeros_like(self._plain)])
        self._hashes[self._count] = new.dhash
        self._plain[self._count] = bool(new.detail)
        self._count += 1
        if new.detail:
            if self._plain_count == len(self._details):
                self._details = np.concatenate([self._details, np.zeros_like(self._details)])
            self._details[self._plain_count] = np.frombuffer(new.detail, np.uint8)
            self._plain_count += 1

    def contains_near(self, new: Signature) -> bool:
        """Whether one of the photos so far is a near-duplicate."""
        apart = np.bitwise_count(self._hashes[: self._count] ^ np.uint64(new.dhash))
        near = apart <= NEAR
        if not new.detail:
            return bool(near.any())
        if (near & ~self._plain[: self._count]).any():
            return True
        detail = np.frombuffer(new.detail, np.uint8)
        return bool(
            plain_ground.are_near_duplicates(detail, self._details[: self._plain_count]).any()
        )


def groups(
    hashes: Sequence[int],
    near: int = NEAR,
    details: DetailTable | None = None,
    run_jobs: Run | None = None,
) -> list[int]:
    """64-bit hashes -> group numbers: equal for photos linked by near-duplicates.

    Two photos are near if their hashes differ in at most ``near`` bits; two plain pictures, which
    have ``details``, if these match. The number of a group is the index of its first member.

    Args:
        run_jobs: runs the comparisons of hashes as jobs, as :func:`synth.workers.worker_pool`
            yields it; None: in this process.

    >>> groups([0b0000, 0b1111_1111, 0b0001])
    [0, 1, 0]
    """
    codes = np.array(hashes, dtype=np.uint64)
    forest = _Forest(len(codes))
    plain = np.zeros(len(codes), bool)
    if details is not None:
        numbers, rows = details.arrays()
        plain[numbers] = True
        for i, j in plain_ground.pairs(rows):
            forest.join(numbers[i], numbers[j])
    _join_by_hash(forest, codes, plain, near, run_jobs)
    return forest.roots()


def _join_by_hash(
    forest: _Forest, codes: np.ndarray, plain: np.ndarray, near: int, run_jobs: Run | None
) -> None:
    """Joins photos whose hashes are near, unless both are plain."""
    if not len(codes):
        return
    # Photos with equal hash and kind are compared once; plain ground gives many of them.
    kinds = np.stack([codes, plain.astype(np.uint64)], axis=1)
    _, first, kind_of = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(kind_of.reshape(-1), kind="stable")
    members = np.split(order, np.cumsum(np.bincount(kind_of.reshape(-1)))[:-1])
    codes, plain = codes[first], plain[first]
    for each, is_plain in zip(members, plain, strict=True):
        if not is_plain and len(each) > 1:
            forest.join(each[:1].repeat(len(each) - 1), each[1:])
    for ones, others in _near_kinds(codes, plain, near, run_jobs):
        for one, other in zip(ones.tolist(), others.tolist(), strict=True):
            left, right = members[one], members[other]
            # All members of a kind that is not plain are joined already.
            if not plain[one]:
                left = left[:1]
            if not plain[other]:
                right = right[:1]
            if len(left) == 1:
                forest.join(left.repeat(len(right)), right)
            else:
                forest.join(right.repeat(len(left)), left)


def _near_kinds(
    codes: np.ndarray, plain: np.ndarray, near: int, run_jobs: Run | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the indices of pairs of near hashes, of which at most one is plain.

    Hashes that differ in at most ``near`` bits are equal in one of ``near`` + 1 bands of bits, so
    only hashes with an equal band are compared. A pair may occur several times.
    """

    def jobs() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, int, int, int]]:
        for low, high in pairwise(np.linspace(0, 64, near + 2).astype(int).tolist()):
            order = np.argsort(_band(codes, low, high), kind="stable")
            band = _band(codes[order], low, high)
            starts = np.flatnonzero(np.diff(band, prepend=band[:1] + np.uint64(1)))
            ends = np.append(starts[1:], len(order))
            start = 0
            while start < len(order):  # whole runs of equal bands, about JOB hashes
                at = int(np.searchsorted(ends, min(start + JOB, len(order))))
                rows = order[start : (start := int(ends[at]))]
                yield rows, codes[rows], plain[rows], low, high, near

    if run_jobs is None:
        yield from (_near_in_band(*job) for job in jobs())
    else:
        yield from run_jobs(_near_in_band, jobs())


def _band(codes: np.ndarray, low: int, high: int) -> np.ndarray:
    """(N,) uint64 -> (N,) uint64: the bits from ``low`` to below ``high``."""
    return (codes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)


def _near_in_band(
    rows: np.ndarray, codes: np.ndarray, plain: np.ndarray, low: int, high: int, near: int
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs among hashes that are sorted by a band.

    Args:
        rows: (N,) indices that are returned.
        codes: (N,) uint64 hashes.
        plain: (N,) bool; two plain pictures are no pair.
        low, high: bits of the band.
        near: bits in which the hashes of a pair may differ.
    """
    ones, others = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    runs = np.flatnonzero(np.diff(_band(codes, low, high))) + 1
    for start, end in pairwise([0, *runs.tolist(), len(codes)]):
        for top in range(start, end - 1, BLOCK):
            block, rest = slice(top, min(top + BLOCK, end)), slice(top, end)
            apart = np.bitwise_count(codes[block, None] ^ codes[None, rest])
            is_near = (apart <= near) & ~(plain[block, None] & plain[None, rest])
            i, j = np.nonzero(np.triu(is_near, 1))
            ones.append(rows[top + i])
            others.append(rows[top + j])
    return np.concatenate(ones), np.concatenate(others)


class _Forest:
    """Disjoint sets (union-find) of the numbers below ``count``."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def _root(self, i: int) -> int:
        parent = self._parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(self, ones: np.ndarray, others: np.ndarray) -> None:
        """Joins each number in ``ones`` with the one at the same position in ``others``."""
        for one, other in zip(ones.tolist(), others.tolist(), strict=True):
            a, b = self._root(one), self._root(other)
            self._parent[max(a, b)] = min(a, b)

    def roots(self) -> list[int]:
        """The smallest member of each number's set."""
        return [self._root(i) for i in range(len(self._parent))]

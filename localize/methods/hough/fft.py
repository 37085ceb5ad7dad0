"""Lengths for which a fast Fourier transform is fast."""

from __future__ import annotations


def fast_length(n: int) -> int:
    """The smallest length >= n that has no prime factor above 5."""
    remainder = n
    while remainder > 1:
        remainder = n
        for prime in (2, 3, 5):
            while remainder % prime == 0:
                remainder //= prime
        n += remainder > 1
    return n

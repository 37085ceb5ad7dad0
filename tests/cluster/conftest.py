"""Fixtures of the tests on a Ray cluster."""

from __future__ import annotations

from cluster_commands import cluster

__all__ = ["cluster"]  # a fixture

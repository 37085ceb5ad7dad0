"""The coreset against its plain definition; the bank's search against all distances."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.random_projection import johnson_lindenstrauss_min_dim

from localize.methods.patchcore import bank, coreset
from localize.methods.patchcore.bank import Reducer


def plain(
    rows: torch.Tensor, k: int, start: int | None = None, initial: torch.Tensor | None = None
) -> list[int]:
    """Greedy k-centre as it is defined: all distances to every picked row."""
    picked = [] if start is None else [start]
    far = initial
    if start is not None:
        far = torch.linalg.norm(rows - rows[start], dim=1)
    assert far is not None
    while len(picked) < k:
        best = int(far.argmax())
        picked.append(best)
        far = torch.minimum(far, torch.linalg.norm(rows - rows[best], dim=1))
        far[best] = 0
    return picked


def some_rows(kind: str, n: int, d: int, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn((n, d), generator=draw)
    if kind == "far from the origin":  # where |x|2 - 2xc + |c|2 loses digits
        return rows + 300
    if kind == "clusters":
        return rows * 0.01 + torch.randint(0, 4, (n, 1), generator=draw) * 5.0
    if kind == "ties":
        return torch.randint(0, 3, (n, d), generator=draw).float()
    return rows


KINDS = ("gaussian", "far from the origin", "clusters", "ties")
pytestmark = pytest.mark.usefixtures("one_thread")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.integers(1, 300), st.integers(1, 24), st.integers(0, 99))
def test_the_order_is_the_plain_one(kind: str, n: int, d: int, seed: int) -> None:
    rows = some_rows(kind, n, d, seed)
    k = 1 + seed * n // 100
    start = seed % n
    assert coreset.k_centre(rows, k, start=start).tolist() == plain(rows, k, start)


@pytest.mark.parametrize("kind", KINDS)
def test_many_rows_in_the_plain_order(kind: str) -> None:
    rows = some_rows(kind, 5000, 16, 1)  # more than are updated at a time
    assert coreset.k_centre(rows, 300, start=7).tolist() == plain(rows, 300, 7)


def test_from_initial_distances_as_the_paper_begins() -> None:
    rows = some_rows("gaussian", 3000, 8, 2)
    starts = torch.arange(10) * 7
    initial = coreset.mean_distance(rows, starts)
    assert torch.allclose(initial, torch.cdist(rows, rows[starts]).mean(1), atol=1e-4)
    picked = coreset.k_centre(rows, 300, initial=initial)
    assert picked.tolist() == plain(rows, 300, initial=initial)


def test_progress_has_an_end() -> None:
    seen: list[tuple[int, int]] = []
    coreset.k_centre(
        some_rows("gaussian", 900, 4, 0), 500, start=0, progress=lambda *x: seen.append(x)
    )
    assert seen[-1] == (500, 500)
    assert seen == sorted(seen)


@pytest.mark.parametrize("rows", [10, 1000, 61_440, 10**6])
def test_dimension_is_that_of_johnson_and_lindenstrauss(rows: int) -> None:
    assert coreset.dimension(rows) == johnson_lindenstrauss_min_dim(rows, eps=0.9)


def test_the_sparse_projection_keeps_lengths() -> None:
    columns = 400
    matrix = coreset.sparse_projection(5000, columns, torch.Generator().manual_seed(0))
    d = coreset.dimension(5000)
    assert matrix.shape == (d, columns)
    assert (matrix != 0).float().mean() == pytest.approx(columns**-0.5, rel=0.1)
    assert matrix.abs().max() == pytest.approx(columns**0.25 / d**0.5, rel=1e-5)
    rows = some_rows("gaussian", 50, columns, 3)
    assert (rows @ matrix.T).norm(dim=1).mean() == pytest.approx(
        float(rows.norm(dim=1).mean()), rel=0.05
    )


def parts(images: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return (
        torch.randn((images, 4, 8, 8), generator=draw),
        torch.randn((images, 6, 4, 4), generator=draw),
    )


def reducer(ratio: float, most: int = 10_000) -> Reducer:
    return Reducer("anomalib", ratio, most, torch.Generator().manual_seed(0))


def test_the_bank_is_the_ratio_of_the_rows_and_no_more_than_allowed() -> None:
    blocks = [parts(3, 0), parts(2, 1)]
    assert reducer(0.1).reduce(blocks).shape == (32, 10)
    assert reducer(0.1, most=7).reduce(blocks).shape == (7, 10)


def test_streaming_a_single_block_is_the_plain_fit() -> None:
    blocks = [parts(3, 0), parts(2, 1)]
    assert torch.equal(reducer(0.1).reduce_stream(iter(blocks)), reducer(0.1).reduce(blocks))


def test_streaming_covers_nearly_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank, "BLOCK_ROWS", 300)
    blocks = [parts(2, seed) for seed in range(20)]
    rows = torch.cat([bank.join(block) for block in blocks])
    whole, streamed = (
        reducer(0.2, most=80).reduce(blocks),
        reducer(0.2, most=80).reduce_stream(blocks),
    )
    assert whole.shape == streamed.shape == (80, 10)
    gaps = [float(torch.cdist(rows, bank).amin(1).mean()) for bank in (whole, streamed)]
    assert gaps[1] < 1.15 * gaps[0]


def test_streaming_holds_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many images come, no more rows are reduced at once than blocks or two banks."""
    monkeypatch.setattr(bank, "BLOCK_ROWS", 256)
    largest = []
    search = coreset.k_centre

    def watched(rows: torch.Tensor, k: int, **more: object) -> torch.Tensor:
        largest.append(len(rows))
        return search(rows, k, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(coreset, "k_centre", watched)
    kept = reducer(0.5, most=50).reduce_stream(parts(2, seed) for seed in range(64))
    assert kept.shape == (50, 10)
    assert max(largest) <= 300

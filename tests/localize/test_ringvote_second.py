"""The second opinion: what there is along candidates' outlines, and how it is weighed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from localize.endless import Endless, Mix
from localize.localizer import Told
from localize.methods.border import Border
from localize.methods.boundary import LUMA
from localize.methods.listening import Listener, heard
from localize.methods.ringvote import heeding, locating, looks, searching, second
from localize.methods.ringvote.ballots import Ballot
from localize.methods.ringvote.candidate import Candidate
from localize.methods.ringvote.network import STEPS, Trunk
from localize.methods.ringvote.rules import Rules
from localize.methods.ringvote.voting import ARCS, KINDS, PLANES, SHAPES, SIDES, TURNS, spokes
from localize.methods.ringvote.weighing import (
    DOUBT,
    LOUDEST,
    Outlines,
    Weighing,
    doubted,
    plain,
    trusted,
)
from synth import InputError, scenes
from synth.anomaly import Anomaly, apply

CPU = torch.device("cpu")
TOLD = Told(24, 1.1)
IMAGE = apply(scenes.scene(88, 60, np.random.default_rng(5)), Anomaly(44, 30, 18.5, 1.1))
PLANES_OF_IT = torch.randn(KINDS, 60, 88, generator=torch.Generator().manual_seed(3))
LISTENER = Listener.of(IMAGE, CPU, keep=True)
REGIONS = [
    Candidate(44, 30, 18.5, logit=3.0, ratio=1.06),
    Candidate(40, 29, 21.0, logit=2.5, square=True, ratio=1 / 1.03),
    Candidate(60, 30, 12.0, logit=2.0, ratio=1.12),
]
ALIKE = [dataclasses.replace(one, r=15.0, ratio=1.06) for one in REGIONS]
MIX = Mix({"size": [120, 96], "ratio": [1.1, 1.2], "radius": [14, 24], "margin": 0})


@pytest.fixture
def careful(lively: Trunk, looking: Callable[[Trunk, int], Trunk]) -> Trunk:
    return looking(lively, looks.MOST)


@pytest.fixture
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heeding, "FRAMES", (((120, 96), True), ((96, 120), False)))


def taught() -> Weighing:
    """Weights of some kind: as they begin they change nothing."""
    torch.manual_seed(1)
    weighing = Weighing()
    torch.nn.init.normal_(weighing.layers[-1].weight, std=0.3)
    return weighing.eval()


def test_outlines_are_what_lies_there() -> None:
    """Each value is that of its pixel, of the one beside it, or of the edge the other way."""
    found = second.outlines(IMAGE, LISTENER, PLANES_OF_IT, ALIKE)
    grey, votes = IMAGE.astype(np.float32) @ LUMA, heard(IMAGE, 1.06, CPU)
    parts = [spokes(shape, 15.0) for shape in (0, 1)]
    kinds, down, right, weights = (np.concatenate(each) for each in zip(*parts, strict=True))
    turn = np.take(TURNS, kinds)
    back = (turn + ARCS // 2) % ARCS
    angle = turn * math.tau / ARCS
    below, beside = (np.rint(f(angle)).astype(int) for f in (np.sin, np.cos))
    other = np.where(kinds < ARCS, (kinds + 4) % ARCS, ARCS + (kinds - ARCS + 2) % SIDES)
    ways = [(kinds, turn, 0), (other, back, 0), (kinds, turn, 1), (kinds, turn, -1)]
    for number, one in enumerate(ALIKE):
        mine = found.owner == number
        rows, cols = down + one.y, right + one.x
        np.testing.assert_array_equal(found.kind[mine], kinds)
        np.testing.assert_array_equal(found.weight[mine], weights)
        np.testing.assert_allclose(found.grey[mine], grey[rows, cols], rtol=1e-5)
        for which, (kind, way, by) in enumerate(ways):
            y, x = rows + by * below, cols + by * beside
            there = y.clip(0, 59), x.clip(0, 87)
            np.testing.assert_array_equal(found.evidence[which, mine], PLANES_OF_IT[kind, *there])
            spoken = votes[way, *there] * ((y == there[0]) & (x == there[1]))
            np.testing.assert_allclose(found.votes[which, mine], spoken, atol=1e-3)
    assert (found.r, found.step) == (15.0, pytest.approx(math.log(1.06)))


def test_untaught_it_adds_votes_of_one_weight_to_the_evidence() -> None:
    """The sum is then what a ballot counts of planes to which they were added."""
    weighing, one = Weighing().requires_grad_(False), ALIKE[0]
    outlines = second.outlines(IMAGE, LISTENER, PLANES_OF_IT, [one])
    votes = doubted(heard(IMAGE, one.ratio, CPU))[list(TURNS)]
    for of, scale in zip(PLANES, weighing.rules.scales(one.r).tolist(), strict=True):
        votes[of] *= trusted(one.r) / scale
    whole = second.seconded(weighing.rules, PLANES_OF_IT, heard(IMAGE, one.ratio, CPU), one.r)
    torch.testing.assert_close(whole, PLANES_OF_IT + votes)
    ballot = Ballot(weighing.rules, whole, np.array([one.r]))
    expected = ballot.logits(np.array([one.x]), np.array([one.y]))[0, :, 0]
    for logit in (weighing(outlines), plain(weighing.rules, outlines)):
        assert float(logit) == pytest.approx(float(expected.logsumexp(0)), abs=1e-3)


def test_no_vote_counts_without_bound() -> None:
    nats = torch.tensor([-1e6, -50.0, 0.0, 3.0, LOUDEST, 1e6])
    low, floor, none, some, *high = doubted(nats).tolist()
    assert low == pytest.approx(floor, abs=1e-4)
    assert floor == pytest.approx(math.log(DOUBT), abs=1e-4)
    assert none == pytest.approx(0, abs=1e-6)
    assert 2 < some < 3
    assert high[0] == high[1] < math.inf


def test_the_order_is_learned_and_the_logits_are_not() -> None:
    weighing, rules = taught(), Rules()
    together = second.weighed(weighing, rules, IMAGE, PLANES_OF_IT, ALIKE)
    seen = second.outlines(IMAGE, LISTENER, PLANES_OF_IT, ALIKE)
    by_place = {one.x: n for n, one in enumerate(ALIKE)}
    order = [by_place[one.x] for one in together]
    learned, fixed = weighing(seen).tolist(), plain(rules, seen).tolist()
    assert order == sorted(range(3), key=lambda n: -learned[n])
    assert learned != pytest.approx(fixed, abs=0.1)
    for n, one in zip(order, together, strict=True):
        assert one == dataclasses.replace(ALIKE[n], logit=one.logit, chance=one.chance)
        assert one.logit == pytest.approx(fixed[n], abs=1e-3)
        assert one.chance == pytest.approx(learned[n], abs=1e-3)


def test_candidates_do_not_depend_on_who_else_is_asked_about() -> None:
    weighing = taught()
    together = second.outlines(IMAGE, LISTENER, PLANES_OF_IT, ALIKE)
    for one, logit, sure in zip(
        ALIKE, weighing(together).tolist(), plain(Rules(), together).tolist(), strict=True
    ):
        alone = second.outlines(IMAGE, LISTENER, PLANES_OF_IT, [one])
        assert float(weighing(alone).detach()) == pytest.approx(logit, abs=1e-3)
        assert float(plain(Rules(), alone).detach()) == pytest.approx(sure, abs=1e-3)


@pytest.mark.parametrize("ratio", [None, 1.1])
def test_a_region_hears_what_lies_along_its_edge(ratio: float | None) -> None:
    """As the sum over its outline of what all pixels say; of an unknown ratio the mean chance."""
    found = second.reconsidered(REGIONS, IMAGE, ratio and (ratio, ratio), CPU)
    assert [one.logit for one in found] == sorted((one.logit for one in found), reverse=True)
    for one in REGIONS:
        brighter = one.ratio > 1
        sizes = [ratio] if ratio else [math.exp(step) for step in STEPS if step > 0]
        sums = []
        for size in sizes:
            votes = doubted(heard(IMAGE, size if brighter else 1 / size, CPU))
            rows, cols, weights = SHAPES[one.square](one.r)
            there = votes[:, rows + one.y, cols + one.x].T.numpy()
            there = there[:, :: ARCS // SIDES] if one.square else there
            sums.append((there * weights).sum() * trusted(one.r))
        expected = one.logit + math.log(np.mean(np.exp(sums)))
        same = dataclasses.replace(one, logit=0.0)
        given = next(e for e in found if dataclasses.replace(e, logit=0.0) == same)
        assert given.logit == pytest.approx(expected, abs=1e-3)
    assert found[0].logit > REGIONS[0].logit


def test_told_of_no_change_it_answers_all_the_same(careful: Trunk) -> None:
    careful.weighing = taught()
    found = locating.told_peaks(careful, IMAGE, Told(24, 1.0))[1]
    assert found
    assert all(math.isfinite(one.logit) for one in found)


def test_votes_along_a_longer_edge_count_less_in_the_sum_than_they_are_more() -> None:
    """They fade with the radius, and not so fast that a larger region would be seen worse."""
    assert trusted(30.0) / 4 < trusted(120.0) < trusted(30.0)


def test_of_no_region_nothing_is_said() -> None:
    assert second.weighed(Weighing(), Rules(), IMAGE, PLANES_OF_IT, []) == []
    assert second.reconsidered([], IMAGE, None, CPU) == []


@pytest.mark.parametrize("flip", looks.FLIPS)
def test_mirror_images_are_judged_alike(flip: tuple[int, ...], careful: Trunk) -> None:
    weighing, mirrored = taught(), tuple(side - looks.ROWS for side in flip)
    logits = []
    for axes in ((), mirrored):
        image = np.ascontiguousarray(np.flip(IMAGE, axes))
        there = [
            dataclasses.replace(
                one,
                x=87 - one.x if 1 in axes else one.x,
                y=59 - one.y if 0 in axes else one.y,
            )
            for one in ALIKE
        ]
        planes = locating.told_peaks(careful, image, TOLD)[0]
        outlines = second.outlines(image, Listener.of(image, CPU), planes, there)
        logits.append(weighing(outlines).tolist())
    np.testing.assert_allclose(*logits, atol=5e-2)
    assert np.ptp(logits[0]) > 1


@pytest.mark.parametrize("blind", [False, True])
def test_only_who_looks_several_times_asks_for_it(
    careful: Trunk, monkeypatch: pytest.MonkeyPatch, blind: bool
) -> None:
    module, name = (searching, "reconsidered") if blind else (locating, "weighed")

    def found() -> list[Candidate]:
        if blind:
            return searching.blind_candidates(careful, IMAGE)[2]
        return locating.told_peaks(careful, IMAGE, TOLD)[1]

    heeding_it = found()
    at = 0 if blind else 4
    monkeypatch.setattr(module, name, lambda *given: list(given[at]))
    without = found()
    assert {one.logit for one in heeding_it}.isdisjoint(one.logit for one in without)
    assert {(o.x, o.y, o.r) for o in heeding_it} == {(o.x, o.y, o.r) for o in without}
    monkeypatch.delattr(module, name)
    careful.flips = looks.FLIPS[:1]
    assert found()


@pytest.mark.usefixtures("small_pictures")
def test_what_was_gathered_is_not_drawn_again(
    lively: Trunk, photo_folder: Path, tmp_path: Path
) -> None:
    source, cases = Endless(photo_folder, (MIX,), 4), tmp_path / heeding.CASES
    heeding.gather(lively, source, range(2), tmp_path, lambda *_: None)
    before = {file: file.stat().st_mtime_ns for file in cases.iterdir()}
    heeding.gather(lively, source, range(4), tmp_path, lambda *_: None)
    after = {file: file.stat().st_mtime_ns for file in cases.iterdir()}
    assert (len(before), len(after)) == (2, 4)
    assert before.items() < after.items()
    first, second, third, _ = sorted(cases.iterdir())
    whole = [path.read_bytes() for path in (first, second, third)]
    first.write_bytes(b"")
    second.write_bytes(whole[1][:-40] + bytes(40))
    third.write_bytes(whole[0])  # another picture's
    with pytest.raises(InputError, match=r"000000\.safetensors is damaged"):
        heeding.learn(lively, tmp_path, 0, lambda *_: None)
    heeding.gather(lively, source, range(4), tmp_path, lambda *_: None)
    assert [path.read_bytes() for path in (first, second, third)] == whole
    lively.weighing = Weighing()
    heeding.learn(lively, tmp_path, 0, lambda *_: None)
    assert not cases.exists()
    assert float(lively.weighing.layers[-1].weight.detach().abs().max()) > 0


@pytest.mark.usefixtures("small_pictures")
@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_first_candidate_is_the_region(lively: Trunk, photo_folder: Path, number: int) -> None:
    source = heeding.framed(Endless(photo_folder, (MIX,), 4), number)
    image, regions = heeding.picture(source, number)
    seen, border = locating.looked(lively, image), Border.of(image)
    for region in regions:
        others = [other for other in regions if other is not region]
        told = Told(region.r, region.discolor_ratio)
        planes = locating.told_planes(lively, seen, border, told)
        votes = heard(image, region.discolor_ratio, CPU)
        first, *rest = heeding.candidates(lively, planes, votes, region, others)
        assert math.hypot(first.x - region.x, first.y - region.y) <= heeding.RIGHT
        assert rest
        assert all(math.hypot(c.x - first.x, c.y - first.y) > heeding.CLOSE for c in rest)
        assert {(c.r, c.ratio) for c in rest} == {(region.r, region.discolor_ratio)}
        for other in others:
            near = [max(abs(c.x - other.x), abs(c.y - other.y)) for c in rest]
            assert min(near) >= heeding.NEAR


def test_cases_survive_being_kept() -> None:
    case = second.outlines(IMAGE, LISTENER, PLANES_OF_IT, ALIKE)
    back = heeding.read(heeding.kept(case), CPU)
    for field in dataclasses.fields(Outlines):
        ours, theirs = (getattr(each, field.name) for each in (case, back))
        torch.testing.assert_close(theirs, ours, rtol=2e-3, atol=2e-2)
    assert (back.r, back.step) == (case.r, case.step)


@pytest.mark.parametrize("truthful", ["evidence", "votes"])
def test_it_learns_whom_to_believe(monkeypatch: pytest.MonkeyPatch, truthful: str) -> None:
    """Where one of both deceives and the other tells, it comes to heed that one."""
    monkeypatch.setattr(heeding, "PASSES", 40)
    rng = np.random.default_rng(0)
    case = second.outlines(IMAGE, LISTENER, PLANES_OF_IT, ALIKE)
    known = []
    for _ in range(24):
        noise = torch.from_numpy(rng.normal(0, 3, (4, 3))).float()[:, case.owner]
        loud = torch.where(case.owner == 0, 3.0, 0.0).expand(4, -1)
        fields = {"evidence": noise, "votes": noise} | {truthful: loud}
        known.append(dataclasses.replace(case, **fields))
    torch.manual_seed(0)
    weighing = Weighing()
    before = np.mean([float(heeding.lost(weighing, each).detach()) for each in known])
    heeding.fit(weighing, [heeding.kept(each) for each in known], 0, lambda *_: None)
    after = np.mean([float(heeding.lost(weighing, each).detach()) for each in known])
    assert after < 0.5 * before

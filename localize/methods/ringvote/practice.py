"""Teach the judges: the trained network's own candidates, in whole pictures, are the lessons.

Half of the pictures have nothing in them. A judge learns to give the truth the highest logit,
or, where it is not among the candidates, all of them less than nothing's, 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional as F

from localize.endless import Endless
from localize.localizer import Source, Told
from localize.methods.ringvote.judging import FACTS, SEEN, Candidate, Judge, facts, look
from localize.methods.ringvote.locating import evidence, grey, told_candidates
from localize.methods.ringvote.network import Trunk
from localize.methods.ringvote.searching import NOTHING, RATIOS, blind_candidates
from synth import folders
from synth.anomaly import Anomaly

SIZES = ((768, 512), (800, 800), (512, 768))  # of whole pictures, px
CHUNK = 20  # pictures a file of lessons
RIGHT = 5.0  # px from the centre within which a candidate is the truth, and of the radius,
RIGHT_SHARE = 0.1  # or this share of the radius
PASSES = 20  # over all lessons
RATE = 4e-3
BATCH = 4
NOISE = 0.1  # standard deviations, added to what is seen
KINDS: tuple[Literal["told", "blind"], ...] = ("told", "blind")
# (N, BINS, SEEN), (N, FACTS), (N,) which are the truth, () whether there is an anomaly at all
Lesson = tuple[Tensor, Tensor, Tensor, Tensor]
HELD = 5  # one lesson of validation photos for so many of training, for the odds


def teach(
    network: Trunk,
    train: Source,
    val: Source,
    run: Path,
    pictures: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> None:
    """Draw lessons, kept in ``run`` until the end so that an interruption costs few; train both."""
    network.eval()
    wanted = {
        "train": (train, min(pictures, len(train))),
        "val": (val, min(-(-pictures // HELD), len(val))),
    }
    total = len(KINDS) * sum(count for _, count in wanted.values())
    done = 0
    for kind in KINDS:
        lessons: dict[str, list[Lesson]] = {"train": [], "val": []}
        for part, (source, count) in wanted.items():
            for first in range(0, count, CHUNK):
                path = run / f"lessons-{kind}-{part}-{first:06d}.safetensors"
                numbers = range(first, min(first + CHUNK, count))
                if not path.is_file():
                    drawn = [_lesson(network, kind, *_picture(source, n)) for n in numbers]
                    folders.write(path, save(_packed(drawn)))
                lessons[part] += _unpacked(load_file(path))
                done += len(numbers)
                progress(done, total)
        judge = network.judge_of(kind)
        device = judge.middle.device
        learn(judge.cpu(), lessons["train"], seed)
        calibrate(judge, lessons["val"])
        judge.to(device)
    for path in run.glob("lessons-*.safetensors"):
        path.unlink()


def _picture(source: Source, number: int) -> tuple[np.ndarray, Anomaly, bool]:
    """-> a picture, its anomaly or what to ask for, and whether it has one."""
    if isinstance(source, Endless):
        source = source.whole(SIZES[number % len(SIZES)])
    sample = source[number % len(source)]
    assert sample.truth is not None
    if number % 2 and sample.clean is not None:
        return sample.clean, sample.truth, False
    return sample.image, sample.truth, True


@torch.inference_mode()
def _lesson(network: Trunk, kind: str, image: np.ndarray, truth: Anomaly, there: bool) -> Lesson:
    r = min(truth.r, (min(image.shape[:2]) - 1) / 2)
    found: list[Candidate]
    if kind == "told":
        planes = evidence(network, image, truth.discolor_ratio)
        found, _ = told_candidates(network, planes[0], Told(r, truth.discolor_ratio))
    else:
        planes = evidence(network, image, *RATIOS)
        found = blind_candidates(network, planes, NOTHING)
    still, luma = planes.cpu().numpy(), grey(image)
    seen = np.array([look(still[one.which], luma, one) for one in found], np.float32)
    known = np.array([facts(one) for one in found], np.float32)
    near = max(RIGHT, RIGHT_SHARE * r)
    right = [
        there and math.hypot(one.x - truth.x, one.y - truth.y) <= RIGHT and abs(one.r - r) <= near
        for one in found
    ]
    return (
        torch.from_numpy(seen.reshape(len(found), -1, SEEN)),
        torch.from_numpy(known.reshape(-1, FACTS)),
        torch.tensor(right, dtype=torch.bool),
        torch.tensor(there),
    )


def _packed(lessons: list[Lesson]) -> dict[str, Tensor]:
    seen, known, right, there = zip(*lessons, strict=True)
    return {
        "seen": torch.cat(seen).half(),
        "facts": torch.cat(known),
        "right": torch.cat(right),
        "there": torch.stack(there),
        "lengths": torch.tensor([len(each) for each in right]),
    }


def _unpacked(packed: dict[str, Tensor]) -> Iterator[Lesson]:
    lengths = packed["lengths"].tolist()
    columns = (packed["seen"].float(), packed["facts"], packed["right"])
    yield from zip(*(column.split(lengths) for column in columns), packed["there"], strict=True)


def learn(judge: Judge, lessons: list[Lesson], seed: int) -> None:
    """Train a judge on lessons, then fit its odds that there is anything."""
    order = np.random.default_rng([seed, len(lessons)])
    noise = torch.Generator().manual_seed(seed)
    seen = torch.cat([lesson[0].flatten(0, 1) for lesson in lessons])
    judge.middle.copy_(seen.mean(0))
    judge.spread.copy_(seen.std(0) + 1e-3)
    optimiser = torch.optim.AdamW(judge.parameters(), lr=RATE, weight_decay=1e-2)
    steps = PASSES * -(-len(lessons) // BATCH)
    step = 0
    for _ in range(PASSES):
        shuffled = order.permutation(len(lessons))
        for first in range(0, len(lessons), BATCH):
            for group in optimiser.param_groups:
                group["lr"] = RATE * (1 - step / steps)
            chosen = [lessons[number] for number in shuffled[first : first + BATCH]]
            chosen = [lesson for lesson in chosen if len(lesson[2])]
            if not chosen:
                continue
            views = []
            for x, *_ in chosen:
                x = x.roll(int(order.integers(x.shape[1])), 1)
                views.append(x.flip(1) if order.random() < 0.5 else x)
            together = torch.cat(views)
            together += NOISE * judge.spread * torch.randn(together.shape, generator=noise)
            logits = judge(together, torch.cat([known for _, known, *_ in chosen]))
            parts = logits.split([len(view) for view in views])
            losses = [
                lesson_loss(p, right) for p, (_, _, right, _) in zip(parts, chosen, strict=True)
            ]
            optimiser.zero_grad()
            torch.stack(losses).mean().backward()
            optimiser.step()
            step += 1


def lesson_loss(logits: Tensor, right: Tensor) -> Tensor:
    """(N,), (N,) -> cross-entropy in nats of the truth among the candidates and nothing at all."""
    every = torch.cat([logits, logits.new_zeros(1)])
    wanted = torch.cat([right, ~right.any()[None]])
    return torch.logsumexp(every, 0) - torch.logsumexp(every[wanted], 0)


@torch.no_grad()
def calibrate(judge: Judge, lessons: list[Lesson]) -> None:
    """Fit scale and shift of the odds that there is anything; of lessons it did not learn from.

    Source: Platt (1999).
    """
    there = torch.stack([lesson[3] for lesson in lessons]).float()
    if there.min() == there.max():
        return
    total = torch.stack([judge.total(judge(x, known)) for x, known, *_ in lessons])
    with torch.enable_grad():
        fitted = torch.tensor([1.0, 0.0], requires_grad=True)
        optimiser = torch.optim.LBFGS([fitted], max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            odds = fitted[0] * total + fitted[1]
            # A weak pull to 1 and 0 keeps a set without mistakes from certainty.
            pull = 0.01 * ((fitted[0] - 1) ** 2 + fitted[1] ** 2)
            loss = F.binary_cross_entropy_with_logits(odds, there) + pull
            loss.backward()
            return loss

        optimiser.step(closure)
    judge.scale.copy_(fitted[0].detach())
    judge.shift.copy_(fitted[1].detach())

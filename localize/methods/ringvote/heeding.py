"""Teach the weighing, once the network is: which of the candidates in a picture is the region?

Pictures are drawn, looked at and kept in the run folder, as what there is to see along the
outlines, some 3 MB each; a few passes over them are then quick. A run that was interrupted finds
them there.
One look at each will do: what is learned serves as well where the evidence is a mean of four.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from localize.endless import Endless
from localize.localizer import Source, Told
from localize.methods.border import Border
from localize.methods.listening import Listener
from localize.methods.ringvote import locating
from localize.methods.ringvote.candidate import Candidate
from localize.methods.ringvote.lessons import picture
from localize.methods.ringvote.losses import HOPELESS, NEAR, RIGHT
from localize.methods.ringvote.network import Trunk
from localize.methods.ringvote.second import outlines, seconded
from localize.methods.ringvote.training import CLIP, Plan
from localize.methods.ringvote.weighing import Outlines, Weighing
from localize.run_files import read_sealed, write_sealed
from synth.anomaly import Anomaly
from synth.errors import InputError
from synth.json_files import Damaged

# (width, height) of pictures, px, and whether the photos are augmented: else they are whole.
PARTS, WHOLE = (576, 448), ((800, 800), (768, 512), (800, 800), (512, 768))
FRAMES = tuple(frame for size in WHOLE for frame in (*[(PARTS, True)] * 3, (size, False)))
RIVALS = 40  # candidates of each kind, beside the region
ASKED = 2  # regions of a picture that are told of
CLOSE = 5.0  # px from its centre within which nothing is wrong
APART = 2  # px between rivals, along rows and columns, below which they are the same
CASES = "cases"  # folder in the run, a file for each picture
PASSES, BATCH = 5, 8
RATE, WARM = 3e-3, 30
LARGEST = 65504.0  # of half precision


def learn(
    network: Trunk,
    run: Path,
    seed: int,
    progress: Callable[[int, int], None],
    request: str = "",
) -> None:
    """Fit the weighing to the cases that were gathered; they are removed.

    Raises:
        InputError: one of their files is damaged or of another run.
    """
    known = []
    for file in sorted((run / CASES).glob("*.safetensors")):
        values: dict[str, dict[str, Tensor]] = {}
        try:
            data = read_sealed(file, _use(request, file))
        except Damaged:
            raise InputError(f"{file} is damaged or of another run: delete it") from None
        for name, value in load(bytes(data)).items():
            which, field = name.split(".")
            values.setdefault(which, {})[field] = value
        known += [values[which] for which in sorted(values)]
    network.weighing.rules.load_state_dict(network.fine.state_dict())
    if known:
        fit(network.weighing, known, seed, progress)
    shutil.rmtree(run / CASES)


@torch.inference_mode()
def gather(
    network: Trunk,
    source: Source,
    numbers: Sequence[int],
    run: Path,
    progress: Callable[[int, int], None],
    request: str = "",
) -> None:
    """The cases of some pictures of a source, each picture's in a file of the run's.

    A file that is there already is kept if it is whole and of this run.

    Args:
        request: what the run was asked for: tells its files from another run's.
    """
    network.eval()
    folder = run / CASES
    folder.mkdir(exist_ok=True)
    for count, number in enumerate(numbers):
        path = folder / f"{number:06}.safetensors"
        if not _is_whole(path, request):
            image, regions = picture(framed(source, number), number)
            values = {
                f"{which}.{name}": value
                for which, case in enumerate(cases(network, image, regions))
                for name, value in kept(case).items()
            }
            write_sealed(path, save(values), _use(request, path))
        progress(count + 1, len(numbers))


def _use(request: str, path: Path) -> str:
    return f"{request} {path.name}"


def _is_whole(path: Path, request: str) -> bool:
    try:
        read_sealed(path, _use(request, path))
    except (FileNotFoundError, Damaged):
        return False
    return True


def framed(source: Source, number: int) -> Source:
    """A source of pictures of the size that such a number has; of a dataset's, their own."""
    return source.whole(*FRAMES[number % len(FRAMES)]) if isinstance(source, Endless) else source


@torch.inference_mode()
def cases(network: Trunk, image: np.ndarray, regions: Sequence[Anomaly]) -> Iterator[Outlines]:
    """(H, W, 3) uint8, its regions of one ratio -> for the first ASKED that fit in, the outlines.

    The first candidate of each is the region.
    """
    seen, border = locating.looked(network, image), Border.of(image)
    listener, ratio = Listener.of(image, seen.device, keep=True), regions[0].discolor_ratio
    votes = listener.everywhere(ratio).to(seen.device)
    for number, region in enumerate(regions[:ASKED]):
        others = [*regions[:number], *regions[number + 1 :]]
        planes = locating.told_planes(network, seen, border, Told(region.r, ratio))
        if found := candidates(network, planes, votes, region, others):
            yield outlines(image, listener, planes, found)


def candidates(
    network: Trunk, planes: Tensor, votes: Tensor, region: Anomaly, others: Sequence[Anomaly]
) -> list[Candidate]:
    """(KINDS, H, W), (ARCS, H, W) -> the place of a region, first, and its rivals elsewhere.

    These are the likeliest by the evidence, and by evidence and votes of a fixed weight. There
    are none if the region does not fit in; near the other regions nothing is asked.
    """
    r, ratio = locating.fitting(region.r, planes.shape[1:]), region.discolor_ratio
    rivals = []
    for seen in (planes, seconded(network.fine, planes, votes, r)):
        logits, rows, cols = locating.scored(network.fine, seen, r)
        rivals += [
            (col + cols.start, row + rows.start) for row, col, _ in locating.peaks(logits, RIVALS)
        ]
    around = [
        (float(logits[y - rows.start, x - cols.start]), x, y)
        for x in range(max(cols.start, int(region.x) - 1), min(cols.stop, int(region.x) + 3))
        for y in range(max(rows.start, int(region.y) - 1), min(rows.stop, int(region.y) + 3))
        if math.hypot(x - region.x, y - region.y) <= RIGHT
    ]
    if not around:
        return []
    found = [max(around)[1:]]
    for x, y in rivals:
        close = math.hypot(x - found[0][0], y - found[0][1]) <= CLOSE
        near = any(max(abs(x - other.x), abs(y - other.y)) < NEAR for other in others)
        same = any(max(abs(x - col), abs(y - row)) <= APART for col, row in found)
        if not (close or near or same):
            found.append((x, y))
    return [Candidate(x, y, r, ratio=ratio) for x, y in found]


def fit(
    weighing: Weighing,
    known: Sequence[Mapping[str, Tensor]],
    seed: int,
    progress: Callable[[int, int], None],
) -> None:
    """Fit it to cases that were kept: which of the candidates is right?"""
    rng, device = np.random.default_rng(seed), weighing.trust.device
    weighing.train()
    own = [value for name, value in weighing.named_parameters() if "layers" not in name]
    groups = [
        {"params": weighing.layers.parameters(), "weight_decay": 1e-3},
        {"params": own, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))
    every = -(-len(known) // BATCH)
    steps = PASSES * every
    plan = Plan(steps, BATCH, RATE, every, WARM)
    for step in range(steps):
        if step % every == 0:
            order = rng.permutation(len(known))
        for group in optimiser.param_groups:
            group["lr"] = plan.rate(step)
        optimiser.zero_grad()
        first = step % every * BATCH
        for which in order[first : first + BATCH]:
            (lost(weighing, read(known[which], device)) / BATCH).backward()
        nn.utils.clip_grad_norm_(weighing.parameters(), CLIP)
        optimiser.step()
        progress(step + 1, steps)
    weighing.eval()


def lost(weighing: Weighing, case: Outlines) -> Tensor:
    """-> () nats: how unlikely the first candidate is; one without hope counts hardly more."""
    right = weighing(case).log_softmax(0)[0]
    return -torch.logaddexp(right, right.new_tensor(math.log(HOPELESS)))


def kept(case: Outlines) -> dict[str, Tensor]:
    """A case's tensors by name, in fewer bytes."""
    found: dict[str, Tensor] = {}
    for field in dataclasses.fields(Outlines):
        value = getattr(case, field.name)
        if isinstance(value, Tensor):
            real = value.is_floating_point()
            value = value.cpu().contiguous()
            found[field.name] = value.clamp(-LARGEST, LARGEST).half() if real else value.short()
        else:
            found[field.name] = torch.tensor(value, dtype=torch.float64)
    return found


def read(values: Mapping[str, Tensor], device: torch.device) -> Outlines:
    """What was kept -> a case on a device."""
    large = {torch.float16: torch.float32, torch.int16: torch.int64}
    found: dict[str, Any] = {
        name: value.to(device).to(large[value.dtype]) if value.ndim else float(value)
        for name, value in values.items()
    }
    return Outlines(**found)

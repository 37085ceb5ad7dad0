"""Compares the time and memory of `patchcore` with those of PatchCore in anomalib 2.7.0.

    make peers
    python tests/bench/patchcore.py [--rows 61440 --images 60 --rounds 2] [--only coreset,...]
    python tests/bench/patchcore.py --only stream --counts 2000,20000

Jobs: ``coreset`` and ``dense`` select 1 % and 10 % of random feature rows, ``fit`` fits the
method to images, ``predict`` predicts images one by one. Both implementations run in turn, each
in a new process. Two numbers describe the memory: the peak of the process, and by how much the
job raises it above what imports, model and inputs need. ``stream`` measures `patchcore --stream`
alone: its memory should not depend on the number of images. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localize.training.torchvision_compat import make_torchvision_importable

ROOT = Path(__file__).parents[2]
PYTHON = {
    "ours": sys.executable,
    "anomalib": str(ROOT / ".peers/anomalib/bin/python"),
}
JOBS = ("coreset", "dense", "fit", "predict")
TARGETS = {"coreset": 4.0, "dense": 5.0, "fit": 1.5, "predict": 1.5}


def memory(field: str = "VmHWM") -> float:
    """Memory of this process in MiB: its peak (VmHWM) or its present size (VmRSS)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def features(rows: int, columns: int) -> Any:
    """(rows, columns) random values that are spread as features are: of low rank, not negative."""
    import torch

    draw = torch.Generator().manual_seed(0)
    mix, made = torch.randn((64, columns), generator=draw), torch.empty((rows, columns))
    for part in made.split(1024):  # in parts, so that no second array of this size is needed
        torch.mm(torch.randn((len(part), 64), generator=draw), mix, out=part)
        part.add_(torch.randn(part.shape, generator=draw)).relu_()
    return made


def work(job: str, side: str, args: argparse.Namespace) -> tuple[Callable[[], Any], str]:
    """A job of one implementation -> the function to time, with its inputs, and its description."""
    prepare = select if job in ("coreset", "dense") else embed
    return prepare(job, side, args)


def select(job: str, side: str, args: argparse.Namespace) -> tuple[Callable[[], Any], str]:
    """As :func:`work`, for the selection of a coreset."""
    import torch

    ratio = 0.01 if job == "coreset" else 0.1
    # The job dense selects from fewer rows with fewer columns, as after a random projection.
    shape = (args.rows, 1536) if job == "coreset" else (args.rows * 2 // 3, 272)
    keep = min(int(shape[0] * ratio), args.picks or 10**9)
    what = f"{keep} of {shape[0]} x {shape[1]}"
    rows = features(*shape)
    if side == "anomalib":
        make_torchvision_importable()
        from anomalib.models.components.sampling.k_center_greedy import KCenterGreedy

        return lambda: KCenterGreedy(rows, (keep + 0.5) / len(rows)).sample_coreset(), what
    from localize.methods.patchcore import coreset

    generator = torch.Generator().manual_seed(0)

    def select_rows() -> Any:
        projection = coreset.sparse_projection(len(rows), rows.shape[1], generator)
        return rows[coreset.k_centre(rows @ projection.T, keep, start=0)]

    return select_rows, what


def embed(job: str, side: str, args: argparse.Namespace) -> tuple[Callable[[], Any], str]:
    """As :func:`work`, for fitting and predicting with a feature network."""
    import torch

    make_torchvision_importable()
    images = torch.rand((args.images, 3, 256, 256), generator=torch.Generator().manual_seed(0))
    name = args.backbone
    if side == "ours":
        from localize.methods.backbones.convolutions import speed_up
        from localize.methods.backbones.pretrained import Choice
        from localize.methods.patchcore import embedding, preprocessing, scoring
        from localize.methods.patchcore.backbones import build
        from localize.methods.patchcore.bank import Reducer
        from localize.methods.patchcore.method import BATCH

        network, _ = build(Choice(name, random=True))
        speed_up(network.model)
        network.to(memory_format=torch.channels_last)

        @torch.inference_mode()
        def parts(batch: Any) -> Any:
            return embedding.parts(network(batch), "anomalib")

        if job == "fit":
            reducer = Reducer("anomalib", 0.01, 10**9, torch.Generator().manual_seed(0))
            what = f"{len(images)} images, {name}, ratio 0.01"
            return lambda: reducer.reduce([parts(few) for few in images.split(BATCH)]), what
        bank = scoring.Bank.of(features(args.bank, sum(p.shape[1] for p in parts(images[:1]))))
        frame = preprocessing.axes((256, 256), "anomalib")

        @torch.inference_mode()
        def predict() -> None:
            for image in images[: args.predicted].split(1):
                patches, _ = scoring.score(parts(image), bank, "anomalib", 9)
                preprocessing.full_map(patches[0], frame, "anomalib")

        return predict, f"{args.predicted} images one by one, bank {args.bank}, {name}"
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    layers = ("blocks.2", "blocks.4") if "lite0" in name else ("layer2", "layer3")
    model = PatchcoreModel(layers, name, pre_trained=False)
    if job == "fit":

        def fit() -> None:
            model.train()
            for batch in images.split(8):
                model(batch)
            model.subsample_embedding(0.01)

        return fit, f"{len(images)} images, {name}, ratio 0.01"
    model.eval()
    model.memory_bank = features(args.bank, sum(model.feature_extractor.out_dims))

    @torch.no_grad()
    def predict_theirs() -> None:
        for image in images[: args.predicted].split(1):
            model(image)

    return predict_theirs, f"{args.predicted} images one by one, bank {args.bank}, {name}"


def child(args: argparse.Namespace) -> None:
    """Runs a job of one implementation in this process and prints its time and memory as JSON."""
    job, side = args.child.split(":")
    run, what = work(job, side, args)
    before, most = memory("VmRSS"), memory()
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    times = []
    for _ in range(4 if job == "predict" else 1):  # the first one is slower
        start, cpu_start = time.perf_counter(), time.process_time()
        run()
        times.append((time.perf_counter() - start, time.process_time() - cpu_start))
    report = {
        "what": what,
        "seconds": min(wall for wall, _ in times),
        "cpu": min(cpu for _, cpu in times),
        "peak": max(most, memory()),
        "added": memory() - before,
    }
    print(json.dumps(report))


def stream_child(count: int, ratio: float) -> None:
    """Fits `patchcore --stream` to images of 64 x 64 px and prints its time and memory as JSON."""
    import numpy as np

    from localize.methods.patchcore.method import PatchCore

    class Many:
        def __len__(self) -> int:
            return 0

        def clean(self, n: int = count) -> Any:
            rng = np.random.default_rng(0)
            for _ in range(n):
                small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                yield small.repeat(8, 0).repeat(8, 1)

    class Few(Many):
        def clean(self, n: int = 8) -> Any:
            return super().clean(n)

    method = PatchCore(stream=True, coreset_ratio=ratio, max_bank=2000, progress=False)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        method.fit(Many(), Few(), Path(folder))  # type: ignore[arg-type]
    print(json.dumps({"seconds": time.perf_counter() - start, "peak": memory()}))


def run_child(command: list[str], flags: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [*command, str(Path(__file__)), *flags],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(JOBS), help="jobs, or stream")
    parser.add_argument("--rows", type=int, default=61_440)
    parser.add_argument("--picks", type=int, help="of the coresets, at most")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--predicted", type=int, default=8)
    parser.add_argument("--bank", type=int, default=6144)
    parser.add_argument("--backbone", default="wide_resnet50_2")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--counts", default="2000,20000", help="images of stream")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child and args.child.startswith("stream:"):
        stream_child(int(args.child.split(":")[1]), 0.01)
        return
    if args.child:
        child(args)
        return
    for job in args.only.split(","):
        if job == "stream":
            for count in args.counts.split(","):
                found = run_child([sys.executable], ["--child", f"stream:{count}"])
                print(
                    f"stream {count:>6} images {found['seconds']:8.1f} s {found['peak']:7.0f} MiB"
                )
            continue
        found = {side: [] for side in PYTHON}
        flags = sys.argv[1:]
        for _ in range(args.rounds):
            for side, python in PYTHON.items():
                found[side].append(run_child([python], [*flags, "--child", f"{job}:{side}"]))
        report(job, found)


def report(job: str, found: dict[str, list[dict[str, Any]]]) -> None:
    print(f"{job}: {found['ours'][0]['what']}; the faster of {len(found['ours'])} rounds")
    best = {
        side: {key: min(r[key] for r in runs) for key in ("seconds", "cpu", "peak", "added")}
        for side, runs in found.items()
    }
    for side, one in best.items():
        print(
            f"  {side:9} {one['seconds']:8.2f} s  CPU {one['cpu']:8.2f} s  "
            f"peak {one['peak']:6.0f} MiB, of which added {one['added']:5.0f}"
        )
    ratio = {key: best["anomalib"][key] / best["ours"][key] for key in best["ours"]}
    print(
        f"  ratio     {ratio['seconds']:8.2f} x  CPU {ratio['cpu']:8.2f} x  "
        f"peak {1 / ratio['peak']:6.0%}      of which added {1 / ratio['added']:5.0%}"
        f"    (wanted {TARGETS[job]} x, 60 %)",
        flush=True,
    )


if __name__ == "__main__":
    main()

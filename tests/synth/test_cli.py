"""The command line: bad input gives one line on stderr, exit code 2 and no output files."""

from __future__ import annotations

import contextlib
import csv
import errno
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synth import console, read, verify

Command = Callable[..., Any]
Refused = Callable[..., str]
SMALL = ["--size", "48x40", "--radius", "4:9", "--workers", "1"]


@pytest.fixture
def made(photo_folder: Path, tmp_path: Path, command: Command) -> Path:
    answer = command("generate", photo_folder, tmp_path / "set", *SMALL, "--codec", "png")
    assert answer.code == 0
    return tmp_path / "set"


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_version_and_help(command: Command) -> None:
    version = importlib.metadata.version("acuity")
    assert command("--version").out == [f"synth {version}"]
    for arguments in ([], ["--help"], *([name, "--help"] for name in (
        "scenes", "generate", "verify", "rebuild", "import",
    ))):  # fmt: skip
        answer = command(*arguments)
        assert (answer.code, answer.err) == (0, [])
        assert any("Usage" in line for line in answer.out)


def test_python_m_synth_and_the_script_work() -> None:
    for command in (
        [sys.executable, "-m", "synth"],
        [str(Path(sys.executable).with_name("synth"))],
    ):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("synth ")
        bad = subprocess.run([*command, "verify", "/nowhere"], capture_output=True, text=True)
        assert bad.returncode == 2
        assert len(bad.stderr.splitlines()) == 1


@pytest.mark.parametrize("module", ["synth", "synth.cli"])
def test_importing_stays_light(module: str) -> None:
    heavy = ["torch", "torchvision", "pandas", "localize", "matplotlib", "cv2", "albumentations"]
    code = f"import sys, {module}; print(*(m for m in {heavy} if m in sys.modules))"
    assert run_python(code).split() == []


def test_generating_needs_no_torch(photo_folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from synth import *;"
        f"generate({str(photo_folder)!r}, {str(tmp_path / 'set')!r},"
        " Recipe(size=(48, 40), radius=(4, 9)));"
        f"assert not verify({str(tmp_path / 'set')!r}, {str(photo_folder)!r});"
        "print(*(m for m in ('torch', 'localize', 'cv2') if m in sys.modules))"
    )
    assert run_python(code).split() == []


def test_all_is_importable() -> None:
    import synth

    assert sorted(synth.__all__) == sorted(set(synth.__all__))
    for name in synth.__all__:
        assert getattr(synth, name) is not None


# ---- the whole way


def test_generate_verify_rebuild(
    photo_folder: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = command("generate", photo_folder, tmp_path / "set", *SMALL, "--per-photo", 2)
    assert (answer.code, answer.err) == (0, [])
    assert answer.out[0].startswith("12 rows (")
    assert "from 6 photos" in answer.out[0]
    answer = command("verify", tmp_path / "set", "--photos", photo_folder)
    assert (answer.code, answer.err) == (0, [])
    assert "all rows are correct" in answer.out[-1]
    name = read(tmp_path / "set")["file_name"][3]
    monkeypatch.chdir(tmp_path)
    for row, flags in (("3", []), (name, ["--overwrite"]), ("3", ["--out", tmp_path / "x.jpg"])):
        answer = command("rebuild", tmp_path / "set", row, "--photos", photo_folder, *flags)
        assert (answer.code, answer.err) == (0, [])
        assert "the same" in answer.out[0]
    for again in (tmp_path / "x.jpg", tmp_path / Path(name).name):
        assert again.read_bytes() == (tmp_path / "set" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["set", "x.jpg", Path(name).name]
    )


def test_every_flag_reaches_the_recipe(
    photo_folder: Path, tmp_path: Path, command: Command
) -> None:
    flags = {
        "--per-photo": ("per_photo", "2", 2),
        "--size": ("size", "50x44", [50, 44]),
        "--fit": ("fit", "stretch", "stretch"),
        "--ratio": ("ratio", "0.8:0.9", [0.8, 0.9]),
        "--radius": ("radius", "5:edge", [5.0, "edge"]),
        "--margin": ("margin", "0.2", 0.2),
        "--shape": ("shape", "square", "square"),
        "--overflow": ("overflow", "wrap", "wrap"),
        "--rounding": ("rounding", "stochastic", "stochastic"),
        "--feather": ("feather", "1.5", 1.5),
        "--codec": ("codec", "png", "png"),
        "--quality": ("quality", "80", 80),
        "--clean-fraction": ("clean_fraction", "0.25", 0.25),
        "--split": ("split", "0.5:0.25:0.25", [0.5, 0.25, 0.25]),
        "--seed": ("seed", "7", 7),
    }
    words = [word for flag, (_, text, _) in flags.items() for word in (flag, text)]
    out = tmp_path / "set"
    answer = command(
        "generate", photo_folder, out, *words, "--twins", "--masks", "--count", 9, "--workers", 1
    )
    assert answer.code == 0, answer.err
    about = json.loads((out / "recipe.json").read_text())
    for field, _, value in flags.values():
        assert about["recipe"][field] == value, field
    assert about["recipe"]["twins"] is about["recipe"]["masks"] is True
    assert about["count"] == 9 == len(read(out))
    assert verify(out, photo_folder) == []


def test_flags_override_the_file_and_zero_counts_as_given(
    photo_folder: Path, tmp_path: Path, command: Command
) -> None:
    fields = {"size": "keep", "radius": [3, 6], "seed": 5, "twins": True, "clean_fraction": 0.5,
              "margin": 0.2, "feather": 2}  # fmt: skip
    (tmp_path / "r.json").write_text(json.dumps(fields))
    answer = command(
        "generate", photo_folder, tmp_path / "set", "--recipe", tmp_path / "r.json", "--seed", 0,
        "--no-twins", "--clean-fraction", 0, "--margin", 0, "--feather", 0, "--workers", 1,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    recipe = json.loads((tmp_path / "set" / "recipe.json").read_text())["recipe"]
    assert (recipe["size"], recipe["radius"]) == ("keep", [3, 6])
    for field in ("seed", "twins", "clean_fraction", "margin", "feather"):
        assert recipe[field] == 0
    table = read(tmp_path / "set")
    assert set(zip(table["width"], table["height"], strict=True)) == {(96, 80)}


def test_skipped_photos_are_counted(photo_folder: Path, tmp_path: Path, command: Command) -> None:
    photos = shutil.copytree(photo_folder, tmp_path / "photos")
    (photos / "zz.png").write_bytes(b"")
    (photos / "zy.png").write_bytes(b"text")
    answer = command("generate", photos, tmp_path / "set", *SMALL)
    assert answer.code == 0
    assert "6 rows" in answer.out[0]
    assert "2 photos skipped" in answer.out[1]
    assert any("2 x not a picture" in line for line in answer.out)


def test_verify_exits_1_and_names_the_row(photo_folder: Path, made: Path, command: Command) -> None:
    (made / read(made)["file_name"][4]).unlink()
    answer = command("verify", made)
    assert (answer.code, answer.err) == (1, [])
    assert answer.out[0].startswith("row 4 (images/")
    assert "1 row" in answer.out[-1]
    other = made / read_raw(made)[2]
    other.write_bytes((made / read_raw(made)[3]).read_bytes())
    answer = command("verify", made, "--photos", photo_folder)
    assert answer.code == 1
    assert [line.split(" (")[0] for line in answer.out[:-1]] == ["row 2"] * (
        len(answer.out) - 2
    ) + ["row 4"]
    assert "2 rows have faults" in answer.out[-1]


def read_raw(folder: Path) -> list[str]:
    with (folder / "metadata.csv").open(newline="") as file:
        return [row["file_name"] for row in csv.DictReader(file)]


def test_rebuild_says_when_the_file_differs_or_is_gone(
    photo_folder: Path, made: Path, tmp_path: Path, command: Command
) -> None:
    path = made / read_raw(made)[0]
    path.write_bytes(path.read_bytes() + b"\0")
    arguments = ["rebuild", made, 0, "--photos", photo_folder, "--out"]
    answer = command(*arguments, tmp_path / "1.png")
    assert answer.code == 1
    assert "differs" in answer.out[0]
    path.unlink()
    answer = command(*arguments, tmp_path / "2.png")
    assert answer.code == 0
    assert "missing" in answer.out[0]


def test_import_by_command(photo_folder: Path, tmp_path: Path, command: Command) -> None:
    table = tmp_path / "t.csv"
    table.write_text("row,col,rad,q,path\n30,40,5,1.1,/x/a.png\n31,41,6,1.2,C:\\y\\c.png\n")
    answer = command(
        "import", table, tmp_path / "set", "--images", photo_folder, "--x", "row", "--y", "col",
        "--r", "rad", "--ratio", "q", "--image", "path", "--axes", "rowcol", "--shape", "square",
        "--overflow", "wrap", "--rounding", "floor", "--split", "train",
    )  # fmt: skip
    assert (answer.code, answer.err) == (0, [])
    assert answer.out == [f"2 rows in {tmp_path / 'set'}, all in split train"]
    found = read(tmp_path / "set")
    assert found["x"].tolist() == [40, 41]
    assert found["y"].tolist() == [30, 31]
    assert (found["shape"] == "square").all()
    assert (found["split"] == "train").all()
    seed = tmp_path / "seed.csv"
    seed.write_text("x,y,r,discolor_ratio,img_path\n30,40,5,1.1,/x/a.png\n")
    answer = command(
        "import", seed, tmp_path / "seed", "--images", photo_folder, "--preset", "seed"
    )
    assert answer.code == 0
    row = read(tmp_path / "seed").to_dict("records")[0]
    assert (row["x"], row["y"], row["r"], row["split"]) == (39.5, 29.5, 4.5, "test")


# ---- bad input


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--ratio", "1.2:1.1"], "ratio"),
        (["--ratio", "0:1"], "ratio"),
        (["--ratio", "-1:1"], "ratio"),
        (["--ratio", "a:b"], "--ratio"),
        (["--ratio", "1.1:"], "ratio"),
        (["--ratio", ""], "ratio"),
        (["--ratio", "nan"], "ratio"),
        (["--ratio", "1:2:3"], "--ratio"),
        (["--radius", "9:4"], "radius"),
        (["--radius", "edge"], "--radius"),
        (["--radius", "0:4"], "radius"),
        (["--radius", "4:rim"], "--radius"),
        (["--radius", "40:50"], "does not fit|radius"),
        (["--recipe", "seed", "--size", "100x100", "--radius", "4.2:4.7"], "radius"),
        (["--size", "48"], "--size"),
        (["--size", "0x5"], "--size"),
        (["--size", "48x"], "--size"),
        (["--size", "48x40x3"], "--size"),
        (["--size", "-48x40"], "--size"),
        (["--size", "²x5"], "--size"),
        (["--size", "99999999x9"], "size"),
        (["--size", "1000x1000"], "smaller than 1000x1000"),
        (["--margin", "0.5"], "margin"),
        (["--margin", "x"], "--margin"),
        (["--feather", "100"], "feather|radius"),
        (["--quality", "101"], "quality"),
        (["--clean-fraction", "2"], "clean_fraction"),
        (["--per-photo", "0"], "per_photo"),
        (["--count", "0"], "count"),
        (["--count", "many"], "--count"),
        (["--workers", "-2"], "workers"),
        (["--split", "1:1"], "split"),
        (["--split", "0:0:0"], "split"),
        (["--split", "a:b:c"], "--split"),
        (["--seed", "-1"], "seed"),
        (["--shape", "disc"], "--shape"),
        (["--codec", "webp"], "--codec"),
        (["--fit", "cover"], "--fit"),
        (["--recipe", "sed"], "recipe 'sed'"),
        (["--recipe", "/nowhere.json"], "nowhere"),
        (["--colour", "red"], "--colour"),
        (["extra"], "extra"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_flags_of_generate(
    photo_folder: Path, tmp_path: Path, refused: Refused, flags: list[str], word: str
) -> None:
    line = refused("generate", photo_folder, tmp_path / "set", *SMALL, *flags)
    assert any(part in line for part in word.split("|")), line
    assert list(tmp_path.iterdir()) == []


def test_bad_photos(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("x")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_text("x")
    (tmp_path / "file.jpg").write_text("x")
    for name in ("gone", "empty", "text", "broken", "file.jpg"):
        before = sorted(tmp_path.rglob("*"))
        assert name in refused("generate", tmp_path / name, tmp_path / "set", *SMALL)
        assert sorted(tmp_path.rglob("*")) == before


def test_bad_outs(photo_folder: Path, made: Path, refused: Refused, tmp_path: Path) -> None:
    generate = ["generate", photo_folder]
    assert "--overwrite" in refused(*generate, made, *SMALL)
    (tmp_path / "file").write_text("mine")
    assert "is a file" in refused(*generate, tmp_path / "file", *SMALL)
    refused(*generate, tmp_path / "file", *SMALL, "--overwrite")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "mine").write_text("mine")
    assert "not overwritten" in refused(*generate, tmp_path / "foreign", *SMALL, "--overwrite")
    assert (tmp_path / "foreign" / "mine").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "mine"


def test_out_below_a_file(photo_folder: Path, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    refused("generate", photo_folder, tmp_path / "file" / "set", *SMALL)


def test_out_with_a_name_too_long(photo_folder: Path, refused: Refused, tmp_path: Path) -> None:
    refused("generate", photo_folder, tmp_path / ("a" * 300), *SMALL)
    assert list(tmp_path.iterdir()) == []


def test_out_with_a_name_that_is_too_long_with_a_suffix(
    photo_folder: Path, command: Command, tmp_path: Path
) -> None:
    assert command("generate", photo_folder, tmp_path / ("a" * 255), *SMALL).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a" * 255]


def test_out_is_the_current_folder(
    photo_folder: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    answer = command("generate", photo_folder, ".", *SMALL)
    assert answer.code == 0, answer.err
    assert len(read(tmp_path / "here")) == 6


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT])
def test_folders_that_cannot_be_written(
    photo_folder: Path,
    tmp_path: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    def closed(self: Path, *args: Any, **kwargs: Any) -> None:
        raise OSError(number, os.strerror(number), str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", closed)
        line = refused("generate", photo_folder, tmp_path / "set", *SMALL)
    assert os.strerror(number) in line
    assert list(tmp_path.iterdir()) == []


def test_bad_datasets(made: Path, photo_folder: Path, tmp_path: Path, refused: Refused) -> None:
    for folder in (tmp_path, tmp_path / "gone", made / "metadata.csv"):
        refused("verify", folder)
        refused("rebuild", folder, 0, "--photos", photo_folder)
    refused("verify", made, "--photos", tmp_path / "gone")
    (made / "metadata.csv").write_text("a,b\n1,2\n")
    assert "lacks the column file_name" in refused("verify", made)


@pytest.mark.parametrize("row", ["6", "-1", "99999999999999999999", "x", "1.5", "", "²"])
def test_bad_rows_of_rebuild(
    made: Path,
    photo_folder: Path,
    tmp_path: Path,
    refused: Refused,
    row: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    refused("rebuild", made, row, "--photos", photo_folder)
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_targets_of_rebuild(
    made: Path, photo_folder: Path, tmp_path: Path, refused: Refused
) -> None:
    rebuild = ["rebuild", made, 0, "--photos"]
    (tmp_path / "mine.png").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert "--overwrite" in refused(*rebuild, photo_folder, "--out", tmp_path / "mine.png")
    refused(*rebuild, tmp_path / "gone", "--out", tmp_path / "x.png")
    refused("rebuild", made, 0)  # without --photos
    assert (tmp_path / "mine.png").read_text() == "mine"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("out", ["gone/x.png", "folder", "mine.png/x.png"])
def test_targets_of_rebuild_that_cannot_be(
    made: Path, photo_folder: Path, tmp_path: Path, refused: Refused, out: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "mine.png").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    refused("rebuild", made, 0, "--photos", photo_folder, "--out", tmp_path / out, "--overwrite")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--preset", "sead"], "preset 'sead'"),
        (["--axes", "yx"], "--axes"),
        (["--split", "dev"], "split 'dev'"),
        (["--x", "column"], "column"),
        (["--shape", "disc"], "--shape"),
        (["--images", "/nowhere"], "nowhere"),
        ([], "file_name"),
    ],
)
def test_bad_flags_of_import(
    photo_folder: Path, tmp_path: Path, refused: Refused, flags: list[str], word: str
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("x,y,r,discolor_ratio,img_path\n30,40,5,1.1,a.png\n")
    arguments = ["import", table, tmp_path / "set", "--images", photo_folder]
    name = [] if not flags else ["--image", "img_path"]
    assert word in refused(*arguments, *name, *flags)
    assert list(tmp_path.iterdir()) == [table]


def test_an_unknown_command_or_none(refused: Refused) -> None:
    assert "generat" in refused("generat")
    refused("generate")
    refused("verify")
    refused("--wrong")


# ---- signals and pipes


def test_ctrl_c_prints_what_is_kept(
    photo_folder: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(what: str) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(console, "progress", stopped)
    answer = command("generate", photo_folder, tmp_path / "set", *SMALL)
    assert answer.code == 130
    assert len(answer.err) == 1
    assert "--resume" in answer.err[0]


def test_ctrl_c_while_workers_work_prints_no_traceback(
    save_photos: Callable[..., Path], tmp_path: Path
) -> None:
    photos = save_photos(tmp_path / "photos", [f"{k}.png" for k in range(24)])
    process = subprocess.Popen(
        [sys.executable, "-m", "synth", "generate", str(photos), str(tmp_path / "set"),
         "--size", "48x40", "--radius", "4:9", "--per-photo", "200", "--workers", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # A shell's background jobs, the tests among them, inherit that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    journal = tmp_path / "set.partial" / "journal.jsonl"
    end = time.monotonic() + 20
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 2):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    try:
        _, err = process.communicate(timeout=20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not (tmp_path / "set").exists()


def test_a_reader_that_leaves_early_is_no_error(made: Path) -> None:
    for name in read_raw(made):
        (made / name).unlink()
    command = f"'{sys.executable}' -m synth verify '{made}' | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_a_log_gets_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([0.0, 59.0, 61.0, 61.0, 62.0, 130.0, 130.0])
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: next(times)))
    with console.progress("rows") as tell:
        for done in range(1, 5):
            tell(done, 9)
    assert capsys.readouterr().err.splitlines() == ["rows: 2 of 9", "rows: 4 of 9"]

"""Names and messages as text that can be displayed and stored."""

from __future__ import annotations

import io
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth import console, folders
from synth.paths import fit_name
from synth.text_escapes import escape_surrogates, escape_unprintable

anything = st.text(st.characters(), max_size=40)  # with surrogates


@given(anything)
def test_visible_text_is_one_line_without_control_characters(text: str) -> None:
    shown = escape_unprintable(text)
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(each) for each in shown} & {"Cc", "Cs", "Zl", "Zp"}
    shown.encode("utf-8")
    assert escape_unprintable(shown) == shown


@given(anything)
def test_legible_text_can_be_encoded_and_keeps_all_else(text: str) -> None:
    stored = escape_surrogates(text)
    stored.encode("utf-8")
    if not any("\ud800" <= each <= "\udfff" for each in text):
        assert stored == text


def test_only_unprintable_characters_are_escaped() -> None:
    for text in ("strasse 山の写真 é e\u0301", "👩\u200d🚀", "می\u200cخواهم"):
        assert escape_unprintable(text) == text
    assert escape_unprintable("a\tb\r\n\x1b[2J\x9b\u202egnp.exe\ufeff") == (
        r"a\tb\r\n\x1b[2J\x9b\u202egnp.exe\ufeff"
    )


@given(st.text(min_size=1, max_size=400), st.sampled_from([".png", "-2.png", ".partial", ""]))
def test_names_fit_the_disk_and_stay_distinct(stem: str, ending: str) -> None:
    name = fit_name(stem, ending)
    assert len(name.encode("utf-8", "surrogatepass")) <= 255
    assert name.endswith(ending)
    long = "é" * 200
    assert len({fit_name(f"{long}{k}", ending) for k in range(20)}) == 20


def test_files_of_the_longest_name_and_of_odd_text_are_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".txt")
    folders.write(path, b"stra\xdfe\n".decode("utf-8", "surrogateescape"))
    assert path.read_bytes() == b"stra\\xdfe\n"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "utf-8"])
def test_every_output_can_show_every_name(
    encoding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from synth.cli import app

    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("out", "err")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, f"std{name}", stream)
    folder = tmp_path / "山 \udcdf\x1b[1m\n"
    try:
        folder.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no such name")
    assert console.run(app, "synth", ["verify", str(folder)]) == 2
    assert console.run(app, "synth", ["generate", "--help"]) == 0
    for stream in streams.values():
        assert stream.errors == "strict"  # as it was
        stream.flush()
    said = streams["err"].buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert len(said.splitlines()) == 1
    assert "\x1b" not in said
    assert r"\xdf\x1b[1m" in said


def test_a_log_shows_names_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_line("two\nlines \x1b[31m")
    assert capsys.readouterr().out == "two\\nlines \\x1b[31m\n"

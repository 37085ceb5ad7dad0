"""Fixtures for the tests of localize."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

    from localize.methods.ringvote.network import RingVoteNet

CHROMIUM = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--force-color-profile=srgb",
)  # fmt: skip
Browse = Callable[..., "Page"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs ``localize`` with some words -> exit code, output, errors."""
    from localize.cli import main
    from synth import console

    def call(*words: object) -> tuple[int, str, str]:
        code = console.run(main.app, "localize", [str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Thousands of tiny operations: on a busy machine threads would wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def no_figures() -> Iterator[None]:
    """The module's tests save no figures, which take most of the time of a small comparison."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("localize.report.plots.save", lambda *arguments: None)
        yield


@pytest.fixture
def no_figures_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like ``no_figures``, for one test of a module whose other tests check figures."""
    monkeypatch.setattr("localize.report.plots.save", lambda *arguments: None)


@pytest.fixture(scope="module")
def trained() -> RingVoteNet:
    """The network with the weights that come with Acuity."""
    from localize.methods.ringvote.network import RingVoteNet
    from localize.registry import load

    network = load("ringvote", device="cpu").network
    assert isinstance(network, RingVoteNet)
    return network


@pytest.fixture
def lively() -> RingVoteNet:
    """A narrow network whose evidence differs from place to place."""
    import torch

    from localize.methods.ringvote.network import RingVoteNet

    torch.manual_seed(0)
    network = RingVoteNet(8)
    for last in (network.evidence_head, network.coarse_head):
        torch.nn.init.normal_(last.weight)
    return network.eval()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. It leaves with the module: asyncio cannot be used while it is there."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM))
        yield launched
        launched.close()


@pytest.fixture
def browse(browser: Browser) -> Iterator[Browse]:
    """The function ``browse(file, width=1280, height=800, dark=False, touch=False, ...)``.

    It opens a local file in a fresh browser context without a network and gives Playwright's
    page. Errors on the console, exceptions and requests for anything outside the file fail
    the test.
    """
    faults: list[str] = []
    with contextlib.ExitStack() as contexts:

        def opened(
            file: Path | str,
            width: int = 1280,
            height: int = 800,
            dark: bool = False,
            touch: bool = False,
            density: float = 1,
            fragment: str = "",
        ) -> Page:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if dark else "light",
                device_scale_factor=density,
                has_touch=touch,
                is_mobile=touch,
                accept_downloads=True,
                offline=True,
            )
            contexts.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(60_000)  # a busy machine is no fault
            home = Path(file).resolve().as_uri()

            def asked(url: str) -> None:
                if not url.startswith((home, "data:", "blob:")):
                    faults.append(f"asked for {url}")

            def said(line: ConsoleMessage) -> None:
                if line.type == "error":
                    faults.append(f"console: {line.text}")

            page.on("pageerror", lambda error: faults.append(f"exception: {error}"))
            page.on("request", lambda request: asked(request.url))
            page.on("console", said)
            page.goto(home + fragment)
            return page

        yield opened
    assert not faults, "\n".join(faults)


@pytest.fixture
def with_views() -> Callable[[RingVoteNet, int], RingVoteNet]:
    """A function: the same weights, another number of mirrored views."""
    from localize.methods.ringvote.network import RingVoteNet

    def changed(network: RingVoteNet, times: int) -> RingVoteNet:
        other = RingVoteNet(network.width, times).eval()
        other.load_state_dict(network.state_dict())
        return other

    return changed

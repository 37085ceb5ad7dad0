"""The statistics of the probability of detection, on simulated inspections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from localize.evaluation.verdicts import NEVER
from localize.sharpness.pod import contour, likelihood, models, pooling, resampling, signal, tobit
from localize.sharpness.pod.likelihood import Fits
from localize.sharpness.pod.links import LINKS
from localize.sharpness.pod.tobit import Signals
from localize.sharpness.pod.trials import Counts, Trials, count

SIZES = np.exp(np.linspace(-1.5, 1.5, 20))
RUNS = 500
SLOPE, INTERCEPT = 1.6, 0.2  # of the probit curve in log size, in all simulations


def true_a90(spread: float = 0.0) -> float:
    """a90 of a probit curve whose intercept differs normally between photos."""
    return float(np.exp((stats.norm.ppf(0.9) * np.sqrt(1 + spread**2) - INTERCEPT) / SLOPE))


def inspection(
    rng: np.random.Generator, groups: int = 30, each: int = 8, spread: float = 0.0,
    guess: float = 0.0, lapse: float = 0.0, blanks: int = 0,
) -> Trials:  # fmt: skip
    """A simulated inspection; the photos differ by ``spread``."""
    group = np.arange(groups).repeat(each + blanks)
    size = rng.choice(SIZES, len(group))
    size[np.tile(np.arange(each + blanks) < blanks, groups)] = 0.0
    with np.errstate(divide="ignore"):
        eta = INTERCEPT + SLOPE * np.log(size) + spread * rng.standard_normal(groups)[group]
    pod = guess + (1 - guess - lapse) * stats.norm.cdf(eta)
    hit = (rng.random(len(size)) < pod).astype(int)
    return Trials(size, hit, np.arange(len(size)), group)


@pytest.mark.parametrize("name", LINKS)
@given(eta=st.floats(-12, 3.5))
def test_a_link_is_a_distribution(name: str, eta: float) -> None:
    link = LINKS[name]
    at = np.array([eta, eta + 1e-6, eta - 1e-6])
    rise, miss, density = link.values(at)
    assert rise[0] + miss[0] == pytest.approx(1)
    assert density[0] == pytest.approx((rise[1] - rise[2]) / 2e-6, rel=1e-3, abs=1e-8)
    if 1e-9 < rise[0] < 1 - 1e-9:
        assert link.inverse(rise[:1])[0] == pytest.approx(eta, abs=1e-4)


@pytest.mark.parametrize("scale", models.SCALES)
@pytest.mark.parametrize("name", LINKS)
def test_a_fit_is_that_of_statsmodels(name: str, scale: str) -> None:
    api = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    trials = inspection(np.random.default_rng(1))
    ours = models.describe(count(trials), name, scale)
    link = {"logit": "Logit", "probit": "Probit", "cloglog": "CLogLog", "loglog": "LogLog"}[name]
    family = api.families.Binomial(link=getattr(api.families.links, link)())
    s = models.SCALES[scale][0](trials.size)
    theirs = api.GLM(trials.hit, api.add_constant(s), family=family).fit(maxiter=200, tol=1e-12)
    assert (ours.intercept, ours.slope) == pytest.approx(tuple(theirs.params), rel=1e-5)
    assert ours.deviance == pytest.approx(theirs.deviance, rel=1e-9)
    assert ours.aic == pytest.approx(theirs.aic, rel=1e-9)
    covariance = theirs.cov_params()
    variances = ours.variance_intercept, ours.variance_slope, ours.covariance
    assert variances == pytest.approx(tuple(covariance[[0, 1, 0], [0, 1, 1]]), rel=1e-3)


def profile_bound(trials: Trials, level: float) -> float:
    """The bound of a90 in log size by profile likelihood, with another optimiser; logit."""
    x, hit = np.log(trials.size), trials.hit

    def loss(a90: float, slope: float) -> float:
        eta = np.log(9) + slope * (x - a90)
        return float(2 * (np.logaddexp(0, eta) - hit * eta).sum())

    def profile(a90: float) -> float:
        options = {"xatol": 1e-10}
        return float(
            optimize.minimize_scalar(
                lambda slope: loss(a90, slope), bounds=(0, 50), method="bounded", options=options
            ).fun
        )

    best = optimize.minimize_scalar(
        profile, bounds=(-1, 3), method="bounded", options={"xatol": 1e-10}
    )
    value: float = optimize.brentq(lambda a90: profile(a90) - best.fun - level, best.x, best.x + 5)
    return value


def test_the_bound_is_that_of_the_profile_likelihood() -> None:
    trials = inspection(np.random.default_rng(2))
    counts = count(trials)
    model = models.with_bounds(counts, models.describe(counts, "logit", "log"))
    assert np.log(model.a90_95) == pytest.approx(profile_bound(trials, 3.841459), rel=1e-4)
    assert np.log(model.a90_95_one_sided) == pytest.approx(
        profile_bound(trials, 2.705543), rel=1e-4
    )
    low, high = models.band(counts, model, np.array([model.a90_95, model.a90]))
    assert low[0] == pytest.approx(0.9, abs=1e-5)
    assert low[1] < 0.9 < high[1]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), factor=st.floats(1e-4, 1e4))
def test_another_unit_of_size_changes_nothing_else(seed: int, factor: float) -> None:
    counts = count(inspection(np.random.default_rng(seed), each=12))
    other = Counts(counts.size * factor, counts.n, counts.hits, counts.guess)
    for link, scale in (("logit", "linear"), ("cloglog", "log")):
        one, two = (
            models.with_bounds(each, models.describe(each, link, scale)) for each in (counts, other)
        )
        assert two.deviance == pytest.approx(one.deviance, rel=1e-7)
        for name in ("a50", "a90", "a90_95", "a90_95_one_sided"):
            assert getattr(two, name) == pytest.approx(factor * getattr(one, name), rel=1e-4)
        assert one.a90 < one.a90_95_one_sided < one.a90_95


def test_known_curves_are_recovered() -> None:
    rng = np.random.default_rng(3)
    s = np.log(SIZES)
    for link in LINKS.values():
        n = np.full((50, len(s)), 2000.0)
        fits = likelihood.fit(s, n, rng.binomial(2000, link.rise(0.5 + 2 * s), n.shape), link)
        assert fits.intercept.mean() == pytest.approx(0.5, abs=0.01)
        assert fits.slope.mean() == pytest.approx(2, abs=0.02)
        n = np.full((20, len(s)), 20_000.0)
        pod = 0.1 + 0.7 * link.rise(0.5 + 2 * s)
        hits = rng.binomial(20_000, pod, n.shape)
        fits = likelihood.fit(s, n, hits, link, guess=0.1, lapse=None)
        assert fits.lapse.mean() == pytest.approx(0.2, abs=0.01)
        assert fits.slope.mean() == pytest.approx(2, abs=0.05)
        assert np.isinf(fits.size_at(0.9, link)).all()


def test_bounds_hold_a90_in_independent_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contour, "DIRECTIONS", 60)
    rng = np.random.default_rng(4)
    s, link, n = np.log(SIZES), LINKS["probit"], np.full(len(SIZES), 6.0)
    hits = rng.binomial(6, stats.norm.cdf(INTERCEPT + SLOPE * s), (RUNS, len(s))).astype(float)
    fits = likelihood.fit(s, np.tile(n, (RUNS, 1)), hits, link)
    for level in (contour.TWO_SIDED, contour.ONE_SIDED):
        held = [
            contour.region(
                s, n, hits[run], Fits(*(v[run : run + 1] for v in vars(fits).values())), link, level
            ).largest_size(0.9, link)
            >= np.log(true_a90())
            for run in range(RUNS)
        ]
        assert np.mean(held) >= 0.93


def held_by_photo(seed: int, runs: int) -> np.ndarray:
    """(2,) shares of runs in which the larger bound holds, and that by likelihood, holds a90."""
    rng = np.random.default_rng(seed)
    held = []
    for _ in range(runs):
        trials = inspection(rng, each=12, spread=1.2)
        counts = count(trials)
        model = models.with_bounds(counts, models.describe(counts, "probit", "log"))
        bound = resampling.of_hits(trials, model, draws=200).a90_95
        truth = true_a90(1.2)
        held.append((max(bound, model.a90_95) >= truth, model.a90_95 >= truth))
    shares: np.ndarray = np.mean(held, axis=0)
    return shares


def test_bounds_hold_a90_where_photos_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound by likelihood takes the trials of a photo as independent, and is too small."""
    monkeypatch.setattr(contour, "DIRECTIONS", 60)
    larger, by_likelihood = held_by_photo(5, 80)
    assert larger >= 0.9
    assert by_likelihood < larger


@pytest.mark.slow
def test_bounds_hold_a90_where_photos_differ_in_500_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contour, "DIRECTIONS", 60)
    larger, by_likelihood = held_by_photo(6, RUNS)
    assert larger >= 0.93
    assert by_likelihood < 0.91


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer points on the borders of the regions, where bounds do not matter."""
    for name, value in (("DIRECTIONS", 12), ("LAPSE_DIRECTIONS", 12), ("LAPSES", 3)):
        monkeypatch.setattr(contour, name, value)


def test_guess_and_lapse_are_found_where_they_are(coarse: None) -> None:
    rng = np.random.default_rng(7)
    trials = inspection(rng, 40, 20, guess=0.1, lapse=0.25, blanks=5)
    found, test = models.all_models(count(trials))
    chosen = next(model for model in found if model.chosen)
    assert chosen.model == models.GUESS_AND_LAPSE
    assert test.p < models.SIGNIFICANT
    assert chosen.verdict == NEVER
    assert np.isnan(chosen.a90)
    assert chosen.guess == pytest.approx(0.1, abs=0.05)
    assert chosen.lapse == pytest.approx(0.25, abs=0.06)
    small = inspection(rng, 40, 20, lapse=0.03)
    models_with = models.describe(count(small), "probit", "log", True)
    assert models_with.a90 < np.exp(1.5)


def test_guess_and_lapse_are_seldom_significant_in_vain() -> None:
    rng = np.random.default_rng(8)
    s, link, n = np.log(SIZES), LINKS["probit"], np.full((RUNS, len(SIZES)), 8.0)
    hits = rng.binomial(8, stats.norm.cdf(INTERCEPT + SLOPE * s), n.shape)
    plain, extended = (likelihood.fit(s, n, hits, link, lapse=lapse) for lapse in (0.0, None))
    statistic = plain.deviance - extended.deviance
    assert statistic.min() >= -1e-6
    assert np.mean(stats.chi2.sf(statistic, 1) < models.SIGNIFICANT) <= 0.05


def test_the_bound_with_a_free_lapse_rate_is_that_of_a_likelihood_ratio() -> None:
    counts = count(inspection(np.random.default_rng(9), 40, 30, lapse=0.05))
    model = models.describe(counts, "probit", "log", True)
    bound = np.log(models.with_bounds(counts, model).a90_95)
    s, n, hits = np.log(counts.size), counts.n[0], counts.hits[0]

    def deviance(a90: float) -> float:
        """The smallest deviance of the curves with this a90."""

        def loss(theta: np.ndarray) -> float:
            slope, lapse = np.exp(theta[0]), 0.1 * stats.norm.cdf(theta[1])
            eta = stats.norm.ppf(0.9 / (1 - lapse)) + slope * (s - a90)
            pod = np.clip((1 - lapse) * stats.norm.cdf(eta), 1e-12, 1 - 1e-12)
            return -2 * float((hits * np.log(pod) + (n - hits) * np.log(1 - pod)).sum())

        return min(
            float(optimize.minimize(loss, [0.5, start], method="Nelder-Mead").fun)
            for start in (-1.0, 0.0, 1.0)
        )

    assert deviance(bound) - model.deviance == pytest.approx(contour.TWO_SIDED, abs=0.05)


def test_parts_with_one_curve_are_pooled() -> None:
    rng = np.random.default_rng(10)
    p = []
    for _ in range(40):
        trials = inspection(rng)
        part = np.where(trials.group % 2, "b", "a")
        trials = Trials(trials.size, trials.hit, trials.target, trials.group, part)
        model = models.describe(count(trials), "probit", "log")
        p.append(pooling.pool(trials, "part", model).p)
    assert np.mean(np.array(p) < 0.05) <= 0.15
    assert np.median(p) == pytest.approx(0.5, abs=0.2)


def test_parts_with_two_curves_are_not_pooled() -> None:
    trials = inspection(np.random.default_rng(11), 60)
    part = np.where(trials.group % 2, "hard", "easy")
    size = np.where(part == "hard", 3 * trials.size, trials.size)  # three times as large for a hit
    trials = Trials(size, trials.hit, trials.target, trials.group, part)
    found = pooling.pool(trials, "part", models.describe(count(trials), "probit", "log"))
    assert found.differs
    assert {row["part"] for row in found.rows} == {"easy", "hard"}
    a90 = {row["part"]: row["a90"] for row in found.rows}
    assert a90["hard"] > 2 * a90["easy"]
    assert found.spread == pytest.approx(a90["hard"] / a90["easy"], rel=0.3)


def noisy(rng: np.random.Generator, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Sizes, and signals of 1 + 2 size with normal noise of 1."""
    size = rng.uniform(0.5, 5, n)
    return size, 1 + 2 * size + rng.standard_normal(n)


def test_a_line_without_censoring_is_that_of_least_squares() -> None:
    size, answer = noisy(np.random.default_rng(12))
    slope, intercept = np.polyfit(size, answer, 1)
    lines = tobit.fit(Signals(size, answer), np.ones((1, len(size))))
    residual = answer - intercept - slope * size
    expected = intercept, slope, np.sqrt((residual**2).mean())
    assert lines.parameters[0].tolist() == pytest.approx(expected, rel=1e-6)
    covariance = tobit.covariance(Signals(size, answer), lines)
    design = np.stack([np.ones_like(size), size], axis=1)
    theirs = (residual**2).mean() * np.linalg.inv(design.T @ design)
    assert covariance[:2, :2] == pytest.approx(theirs, rel=1e-5)
    assert covariance[2, 2] == pytest.approx((residual**2).mean() / (2 * len(size)), rel=1e-5)


def test_no_other_optimiser_finds_a_likelier_censored_line() -> None:
    size, answer = noisy(np.random.default_rng(13), 80)
    data = Signals(size, answer, 3.0, 9.0)

    def loss(theta: np.ndarray) -> float:
        middle, noise = theta[0] + theta[1] * size, np.exp(theta[2])
        low, high = answer <= 3, answer >= 9
        logs = stats.norm.logpdf(answer, middle, noise)
        logs[low] = stats.norm.logcdf(3, middle[low], noise)
        logs[high] = stats.norm.logsf(9, middle[high], noise)
        return -float(logs.sum())

    best = optimize.minimize(loss, [0.0, 1.0, 0.0], method="BFGS", options={"gtol": 1e-7})
    lines = tobit.fit(data, np.ones((1, len(size))))
    assert -lines.log_likelihood[0] == pytest.approx(best.fun, abs=1e-6)
    found = [lines.intercept[0], lines.slope[0], np.log(lines.noise[0])]
    assert found == pytest.approx(best.x.tolist(), abs=1e-3)
    steps = 1e-4 * np.eye(3)
    curvature = [
        [(loss(best.x + a + b) - loss(best.x + a - b) - loss(best.x - a + b) + loss(best.x - a - b))
         / 4e-8 for a in steps]
        for b in steps
    ]  # fmt: skip
    theirs = np.linalg.inv(curvature)
    theirs[2] *= lines.noise[0]  # from the logarithm of the noise to the noise
    theirs[:, 2] *= lines.noise[0]
    assert tobit.covariance(data, lines) == pytest.approx(theirs, rel=1e-3, abs=1e-6)


def held_by_signal(seed: int, runs: int) -> np.ndarray:
    """(2,) shares of runs in which the larger bound holds, and that of the delta method, a90."""
    rng = np.random.default_rng(seed)
    truth = (5 - 1 + stats.norm.ppf(0.9)) / 2
    held = []
    for _ in range(runs):
        size, answer = noisy(rng)
        data = Signals(size, answer, 2.5, 9.5)
        delta = signal.fit(data, 5.0, "linear", "linear").a90_95
        bound = signal.bootstrap(data, np.arange(len(size)), 5.0, "linear", draws=200).a90_95
        held.append((max(delta, bound) >= truth, delta >= truth))
    shares: np.ndarray = np.mean(held, axis=0)
    return shares


def test_the_bound_of_a_censored_signal_holds_a90() -> None:
    """That of the delta method, the handbook's, holds it in about 92 %."""
    larger, delta = held_by_signal(14, 60)
    assert larger >= max(0.9, delta)


@pytest.mark.slow
def test_the_bound_of_a_censored_signal_holds_a90_in_500_runs() -> None:
    larger, delta = held_by_signal(17, RUNS)
    assert larger >= 0.93
    assert 0.88 <= delta <= 0.95


def test_the_band_of_a_signal_meets_its_a90_95() -> None:
    size, answer = noisy(np.random.default_rng(15))
    model = signal.fit(Signals(np.log(size), answer), 5.0, "log", "linear")
    low, high = model.band(np.array([model.a90_95]))
    assert low[0] == pytest.approx(0.9, abs=1e-3)
    assert high[0] > model.pod(np.array([model.a90_95]))[0] > 0.9
    assert model.pod(np.array([model.a50, model.a90])) == pytest.approx([0.5, 0.9])


def test_a_bootstrap_over_single_trials_agrees_with_the_likelihood() -> None:
    trials = inspection(np.random.default_rng(16), 400, 1)
    counts = count(trials)
    model = models.with_bounds(counts, models.describe(counts, "probit", "log"))
    bound = resampling.of_hits(trials, model)
    assert bound.a90_95 == pytest.approx(model.a90_95, rel=0.06)
    assert bound.a90_95_one_sided == pytest.approx(model.a90_95_one_sided, rel=0.06)

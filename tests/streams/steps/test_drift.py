"""The detector of drift: its budget of false alarms, what it finds, when it says nothing, and that batches do not matter."""

from collections.abc import Callable
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterline.streams.steps.drift import Drift, DriftState, Standing, Watch, shares
from waterline.streams.steps.drift_baseline import Baseline, Insufficient, fit
from waterline.streams.steps.drift_guard import guarded
from waterline.streams.steps.drift_monitor import Alarm, Monitor
from waterline.streams.steps.drift_scores import Array, cells_of, log_bets
from waterline.streams.steps.drift_sequential import SIZES, signed, weights

DAY = 1440.0
Draw = Callable[[np.random.Generator, Array, Array], Array]


def autoregressive(noise: Array, phi: float) -> Array:
    values, last = [], 0.0
    for one in noise.tolist():
        last = phi * last + one * (1 - phi**2) ** 0.5
        values.append(last)
    return np.array(values)


def ones(of: npt.NDArray[np.bool_]) -> Array:
    return of.astype(np.float64)


STREAMS: dict[str, tuple[Draw, float]] = {
    "normal": (lambda g, s, c: g.normal(size=len(s)) + 0.5 * c, 300),
    "heavy tails": (lambda g, s, c: g.standard_t(3, len(s)) + 0.8 * c, 300),
    "rare ones": (lambda g, s, c: ones(g.random(len(s)) < 0.02 + 0.03 * c), 1200),
    "season": (lambda g, s, c: 2 * s + g.normal(size=len(s)) - 0.5 * c, 300),
    "season of ones": (lambda g, s, c: ones(g.random(len(s)) < 0.3 + 0.15 * s - 0.1 * c), 1000),
    "dependence": (lambda g, s, c: autoregressive(g.normal(size=len(s)), 0.8) - 0.7 * c, 800),
}
"""(random, season, where the change is) -> values, and within how many observations the change must be found."""


def minutes(count: int) -> Array:
    return np.arange(count, dtype=np.float64)


def drawn(name: str, seed: int, quiet: int, changed: int = 0) -> tuple[Array, Array]:
    times: Array = np.arange(quiet + changed, dtype=np.float64) + 100.0
    return STREAMS[name][0](
        np.random.default_rng(seed), np.sin(times * (2 * np.pi / DAY)), ones(np.arange(quiet + changed) >= quiet)
    ), times


def learned(values: Array, times: Array, arl0: float = 10_000, period: float = DAY) -> Baseline:
    found = fit(values, times, period, arl0)
    assert isinstance(found, Baseline), found
    return found


@pytest.mark.parametrize("name", ["normal", "rare ones", "season"])
def test_false_alarms_are_as_rare_as_declared(name: str) -> None:
    """Of 120 quiet runs, each to its first false alarm: the 95 % interval of their mean time does not lie below what was
    declared, nor is it silent by being deaf."""
    arl0, history, length, watched, alarms = 500, 4 * int(DAY), 2_000, 0, 0
    for seed in range(120):
        values, times = drawn(name, 1_000 + seed, history + length)
        monitor = Monitor(learned(values[:history], times[:history], arl0), times[history])
        used, alarm = monitor.update(values[history:], times[history:])
        watched, alarms = watched + used, alarms + (alarm is not None)
    assert watched / alarms * np.exp(1.96 / alarms**0.5) >= arl0
    assert watched / alarms <= 4 * arl0


@pytest.mark.parametrize("name", STREAMS)
def test_a_change_is_found_soon_with_its_direction_and_time(name: str) -> None:
    values, times = drawn(name, 7, 12_000, 3_000)
    alarms = Drift(Watch(arl0=100_000, period=DAY, learn=10_100)).update(values, times)
    assert alarms
    first, within = alarms[0], STREAMS[name][1]
    assert 12_000 < first.observation <= 12_000 + within
    assert first.at == times[first.observation - 1]
    assert abs(first.since - 12_000) <= within
    assert first.changed_at == pytest.approx(times[first.since - 1])
    assert first.direction == (-1 if name in ("season", "season of ones", "dependence") else 1)
    assert np.sign(first.size) == first.direction
    assert first.evidence >= first.threshold == 100_000


@pytest.mark.parametrize("name", STREAMS)
def test_quiet_streams_are_quiet(name: str) -> None:
    drift = Drift(Watch(arl0=1e6, period=DAY, learn=10_100))
    assert drift.update(*drawn(name, 3, 30_000)) == []
    assert drift.standing is Standing.QUIET


@pytest.mark.parametrize("name", STREAMS)
@settings(max_examples=5, deadline=None)
@given(cuts=st.lists(st.integers(1, 9_999), max_size=12), seed=st.integers(0, 99))
def test_batches_and_restarts_change_nothing(name: str, cuts: list[int], seed: int) -> None:
    """The same bits, whatever the batches are and however often it is stored and restored between them."""
    values, times = drawn(name, seed, 8_000, 2_000)
    values[50] = np.nan
    watch = Watch(arl0=5_000, period=DAY, learn=5_000)
    whole, told = Drift(watch), []
    expected = whole.update(values, times)
    state = Drift(watch).state()
    at = [0, *sorted(cuts), len(values)]
    for begin, end in pairwise(at):
        part = Drift(watch, msgspec.json.decode(msgspec.json.encode(state), type=DriftState))
        told += part.update(values[begin:end], times[begin:end])
        state = part.state()
    assert told == expected
    assert msgspec.json.encode(state) == msgspec.json.encode(whole.state())


def test_the_state_stays_small() -> None:
    drift = Drift(Watch(arl0=1e9, period=DAY, learn=10_100))
    sizes = []
    for seed in range(3):
        values, _ = drawn("dependence", seed, 30_000)
        drift.update(values, np.arange(len(values)) + 30_000.0 * seed)
        sizes.append(len(msgspec.json.encode(drift.state())))
    assert max(sizes) < 40_000


def standing(drift: Drift) -> Standing:
    return drift.standing


def test_after_an_alarm_it_learns_anew_and_says_so() -> None:
    values, times = drawn("normal", 5, 3_000, 2_000)
    drift = Drift(Watch(arl0=20_000, learn=1_000))
    assert standing(drift) is Standing.INSUFFICIENT
    assert drift.reason == "0 observations, at least 1000 are needed"
    assert drift.update(values[:1_000], times[:1_000]) == []
    assert standing(drift) is Standing.QUIET
    (alarm,) = drift.update(values[1_000:3_300], times[1_000:3_300])
    assert standing(drift) is Standing.INSUFFICIENT
    assert drift.reason.startswith(f"learning anew after the alarm at observation {alarm.observation}: ")
    assert drift.update(values[3_300:], times[3_300:]) == []
    assert standing(drift) is Standing.QUIET
    back, _ = drawn("normal", 6, 500)
    (second,) = drift.update(back, times[-1] + 1 + np.arange(500))
    assert second.direction == -1
    assert second.observation > 5_000


@pytest.mark.parametrize(
    ("values", "period", "reason"),
    [
        (np.zeros(10), 0, "at least 40"),
        (np.random.default_rng(1).normal(size=150), 0, "at least 200"),
        (np.full(500, 3.0), 0, "all observations are equal"),
        ((np.arange(2_000) % 150 == 0) * 1.0, 0, "14 of the rarer outcome, at least 20"),
        (np.random.default_rng(1).normal(size=4_000), DAY, "2.8 periods, at least 3"),
        (autoregressive(np.random.default_rng(1).normal(size=900), 0.9), 0, "correlation time, at least 200"),
        (np.random.default_rng(1).normal(size=900).cumsum(), 0, "correlation time, at least 200"),
        (drawn("season", 1, 6_000)[0] + 2 * autoregressive(np.random.default_rng(2).normal(size=6_000), 0.5), DAY, "needs 7"),
    ],
)
def test_too_little_is_insufficient_and_says_what_is_missing(values: Array, period: float, reason: str) -> None:
    found = fit(values, minutes(len(values)), period, 10_000)
    assert isinstance(found, Insufficient)
    assert reason in found.reason


def test_few_ones_are_told_with_a_caution() -> None:
    values = (np.arange(2_000) % 80 == 0) * 1.0
    assert "25 of the rarer outcome" in learned(values, minutes(2_000), period=0).cautions[0]


def test_what_is_learned_is_what_was_there() -> None:
    season = learned(*drawn("season", 1, 10_100))
    assert season.seasonal
    assert not season.lags
    assert max(season.levels) == pytest.approx(2, abs=0.3)
    lags = learned(*drawn("dependence", 1, 10_100)).lags
    assert lags[0] == pytest.approx(0.8, abs=0.05)
    assert not learned(*drawn("normal", 1, 10_100)).seasonal


@given(
    st.lists(st.integers(1, 500), min_size=2, max_size=64),
    st.sampled_from([0, 1, -1]),
)
def test_bets_are_fair_and_their_weights_add_up(counts: list[int], sides: int) -> None:
    cells, bets = cells_of(np.array([counts], dtype=np.float64)), signed(SIZES, sides)
    assert cells.share[0] @ np.exp(log_bets(cells, bets, 1.0)).T == pytest.approx(1, abs=1e-9)
    assert (cells.share[0] @ np.exp(log_bets(cells, bets, 3.0)).T < 1).all()
    assert cells.share[0] @ cells.score[0] == pytest.approx(0, abs=1e-9)
    for arl0 in (2, 1_000, 1e6):
        assert weights(SIZES, arl0, sides).sum() == pytest.approx(1)
    assert len(weights(SIZES[-1:], 10_000, sides)) == len(signed(SIZES[-1:], sides))


def test_the_mixture_is_what_the_definition_says() -> None:
    """R <- (1 + R) e, a step at a time."""
    values, times = drawn("normal", 2, 1_300)
    baseline = learned(values[:1_000], times[:1_000], period=0)
    monitor, table = Monitor(baseline, times[1_000]), Monitor(baseline, 0.0).table
    rows, r, expected = monitor.rows(values[1_000:1_100], times[1_000:1_100]), np.zeros(len(table)), []
    for row in rows:
        r = (1 + r) * np.exp(table[:, row])
        expected.append(monitor.weight @ r)
    assert monitor.levels_of(values[1_000:1_100], times[1_000:1_100]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_change_that_goes_on_after_the_alarm_overflows_nothing(sign: int) -> None:
    values, times = drawn("normal", 2, 12_000)
    monitor = Monitor(learned(values[:5_000], times[:5_000], period=0), times[5_000])
    levels = monitor.levels_of(values[5_000:] + 4.0 * sign, times[5_000:])
    assert not np.isnan(levels).any()
    assert (levels[20:] > 10_000).all()
    assert np.isfinite(monitor.mixture.sums).all()


def test_one_side_alone_is_sooner_there_and_deaf_to_the_other() -> None:
    def first(watch: Watch, sign: int) -> list[Alarm]:
        values, times = drawn("normal", 4, 3_000, 1_000)
        return Drift(watch).update(sign * values, times)

    both, up, down = (first(Watch(arl0=50_000, learn=1_000, sides=sides), 1) for sides in (0, 1, -1))
    assert up[0].observation <= both[0].observation
    assert down == []
    assert first(Watch(arl0=50_000, learn=1_000, sides=-1), -1)[0].direction == -1


def test_streams_that_share_a_budget_alarm_later_each() -> None:
    weight = shares({"a": 3.0, "b": 1.0})
    assert weight == {"a": 0.75, "b": 0.25}
    values, times = drawn("normal", 4, 3_000, 1_000)
    (alarm,) = Drift(Watch(arl0=10_000, learn=1_000, weight=weight["b"])).update(values[:3_500], times[:3_500])
    assert alarm.threshold == 40_000


def test_a_family_of_streams_keeps_the_budget_of_one() -> None:
    """Eight streams that share 1,000 observations each: rounds until the first false alarm of any, over 30 families."""
    arl0, streams, rounds, alarms = 1_000, 8, 0, 0
    for family in range(30):
        firsts = []
        for one in range(streams):
            values, times = drawn("normal", 10_000 + family * streams + one, 4_000)
            baseline = learned(values[:1_000], times[:1_000], arl0 * streams, period=0)
            used, alarm = Monitor(baseline, 0.0).update(values[1_000:], times[1_000:])
            firsts.append(used if alarm else 3_001)
        rounds, alarms = rounds + min(3_000, *firsts), alarms + (min(firsts) <= 3_000)
    assert rounds / alarms * np.exp(1.96 / alarms**0.5) >= arl0


def test_the_guard_raises_the_threshold_where_variance_comes_in_waves() -> None:
    random, variance, values = np.random.default_rng(3), 1.0, []
    for one in random.normal(size=20_000).tolist():
        values.append(one * variance**0.5)
        variance = 0.02 + 0.2 * values[-1] ** 2 + 0.78 * variance
    times = minutes(20_000)
    waves = learned(np.array(values), times, 2_000, period=0)
    raised = guarded(waves, np.array(values), times)
    assert raised.threshold > 1.3 * waves.threshold
    assert "threshold" in raised.cautions[0]
    calm, _ = drawn("normal", 3, 20_000)
    even = learned(calm, times, 2_000, period=0)
    assert guarded(even, calm, times) == even

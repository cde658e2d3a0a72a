"""Rules as data, and what they can be about. A rule compares one measure of one group over one window with a threshold.

Measures are a closed list: each says what it is drawn from, so that a rule needs no code. Rules come from a file, which
`streams/rules_file.py` reads; here nothing is read.
"""

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from waterline.schemas.alerts import Severity
from waterline.schemas.control import Period, Scope
from waterline.streams.steps.canary_plan import CanaryPlan


class How(StrEnum):
    """How a value comes from a window's cell: `part / whole`, the sum of `part`, or a quantile of the durations of calls. Not
    from windows come how long an agent is silent (silence.py), what a single decision takes (outliers.py), and how an
    agent's accuracy falls (drops.py); `asked` is what a question answers."""

    RATIO = "ratio"
    SUM = "sum"
    QUANTILE = "quantile"
    SILENCE = "silence"
    DECISION = "decision"
    ACCURACY = "accuracy"
    ASKED = "asked"


APART = frozenset({How.SILENCE, How.DECISION, How.ACCURACY})


class Measure(Struct, frozen=True):
    """`part` and `whole` are fields of a window's cell (windows.py); `whole` is what the samples are counted in."""

    name: str
    meaning: str
    how: How
    unit: str
    part: str
    whole: str
    groups: tuple[tuple[str, ...], ...] = (("agent",),)
    q: float = 0.0


class Baseline(StrEnum):
    """What a threshold is relative to. `days`: the mean of the measure over the seven windows before, all of which must be
    there. `hours`: the measure over the same hour of the last seven days; with too few samples there, over the last 24 hours.
    `task`: the mean of the decisions of the same task over the last thirty days."""

    NONE = ""
    DAYS = "last_7_windows"
    HOURS = "same_hour_of_7_days"
    TASK = "mean_of_task"


BEFORE = 7
"""Windows or days that a baseline is drawn from."""
AGENT, AGENT_TOOL, SOURCE = ("agent",), ("agent", "tool"), ("source",)
AGENT_TASK, EACH_DECISION = ("agent", "task"), ("agent", "task", "decision")
MEASURES: tuple[Measure, ...] = (
    Measure("tool_error_rate", "tool calls that failed", How.RATIO, "ratio", "errors", "calls", (AGENT, AGENT_TOOL)),
    Measure("escalation_rate", "decisions handed to a human", How.RATIO, "ratio", "escalated", "decisions"),
    Measure("override_rate", "reviews that changed the proposal", How.RATIO, "ratio", "overturned", "reviewed"),
    Measure("cost", "realized cost of decisions", How.SUM, "USD", "nanos", "decisions"),
    Measure("unpriced_calls", "model calls without a price", How.SUM, "count", "unpriced", "decisions"),
    Measure("model_latency_p95", "95th percentile of model calls", How.QUANTILE, "ms", "model_ms", "model_calls", q=0.95),
    Measure("missing_fields", "events that lack a field they must have", How.RATIO, "ratio", "missing", "events", (SOURCE,)),
    Measure("silence", "time since an agent was heard that spoke every minute of the window", How.SILENCE, "s", "", "minutes"),
    Measure(
        "accuracy_drop",
        "points of accuracy at a task that an agent lost",
        How.ACCURACY,
        "ratio",
        "",
        "labels",
        (("agent", "task"),),
    ),
    Measure(
        "decision_tokens",
        "tokens of one decision",
        How.DECISION,
        "tokens",
        "tokens",
        "decisions",
        (("agent", "task", "decision"),),
    ),
)
MEASURE = {measure.name: measure for measure in MEASURES}


class Rule(Struct, frozen=True, kw_only=True):
    """Fires when `measure` over a window is above `above`, or above `above` times the `baseline`, with at least `at_least`
    samples, for `for_windows` windows in a row; resolves when it is at or under `clear_at` of that. A window with fewer samples
    says nothing; after `hold_windows` of them in a row the alert is at rest, as insufficient.

    A window is `panes` panes of `window_s` seconds long and moves on by one pane.
    """

    name: str
    measure: str
    window_s: int
    above: Decimal
    panes: int = 1
    baseline: Baseline = Baseline.NONE
    by: tuple[str, ...] = AGENT
    at_least: int = 1
    clear_at: Decimal = Decimal("0.9")
    for_windows: int = 1
    hold_windows: int = 3
    severity: Severity = Severity.WARNING
    runbook: str = ""
    meaning: str = ""

    @property
    def how(self) -> How:
        return MEASURE[self.measure].how


class Asked(Struct, frozen=True, kw_only=True):
    """A rule whose value is the answer to a question: `sql` is asked of each window of `rule.window_s` seconds once it is over,
    and answers a row for each group. `rows` is SQL that shows what is behind a group's value; empty = `sql` itself. The rule's
    measure is the question's name, and its groups are what the answer's columns say. `question` is as the rules file names it."""

    rule: Rule
    unit: str
    sql: str
    rows: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    question: str = ""

    @property
    def name(self) -> str:
        return self.rule.name

    @property
    def severity(self) -> Severity:
        return self.rule.severity

    @property
    def meaning(self) -> str:
        return self.rule.meaning


class Budget(Struct, frozen=True, kw_only=True):
    """How much a name may spend in a period. `of` is the agent, team or key, empty for each one; `tenant` likewise. `marks` are
    the shares of `limit` (USD) at which an alert fires. Without `deny_at` gateways are warned at most."""

    name: str
    scope: Scope
    period: Period
    limit: Decimal
    of: str = ""
    tenant: str = ""
    warn_at: Decimal = Decimal("0.8")
    deny_at: Decimal | None = Decimal(1)
    marks: tuple[Decimal, ...] = (Decimal("0.5"), Decimal("0.8"), Decimal(1))
    severity: Severity = Severity.WARNING


class Pin(Struct, frozen=True, kw_only=True):
    """What distributions of an agent are compared with (drifting.py): an artifact, or the days from `since` to `until`, both
    included (since 1970). `tenant` empty: of every tenant."""

    agent: str
    tenant: str = ""
    artifact: str = ""
    since: int = 0
    until: int = 0


class Rules(Struct, frozen=True):
    """What is in force. `version` is a hash of the text the rules came from, and travels with every alert. `rules` are about
    windows, `apart` those that are not, `asked` those that are questions, which another process asks. `baselines`: the first that
    is about an agent holds for it."""

    version: str
    rules: tuple[Rule, ...]
    budgets: tuple[Budget, ...] = ()
    apart: tuple[Rule, ...] = ()
    canaries: tuple[CanaryPlan, ...] = ()
    baselines: tuple[Pin, ...] = ()
    asked: tuple[Asked, ...] = ()


class RuleBook:
    """The rules in force, for all partitions of a process; they may be replaced between two batches."""

    def __init__(self, rules: Rules) -> None:
        self.now = rules

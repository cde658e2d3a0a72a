"""Canaries of a rules file: what is read, and what each mistake is told as."""

from waterline.streams import rules_canaries, rules_file
from waterline.streams.rules_page import canary_sentence
from waterline.streams.steps.canary_plan import BUILT_IN, GUARDS, CanaryPlan, Form, Guard, Limit, Stage

GOOD = b"""
rules: []
canaries:
  - canary: all
  - canary: refunds
    agent: refund-agent
    tenant: acme
    candidate: v2
    control: v1
    stages: [{share: 2.5%}, {share: 50%, hold: 72h}, {share: 100%}]
    guardrails: {accuracy: 90%, escalation: +5 points, error_rate: 1.5x, cost: off, drift: moderate}
    at_least: 20
    within: 1x
    error: 1%
"""
BAD = b"""rules: []
canaries:
  - agent: a
    stages: carefull
    error: 0.05
  - canary: two
    stages:
      - {share: 25}
      - {share: 50%, hold: 90s}
      - {share: 40%, wait: 1h}
      - share
    guardrails:
      accuracy: +3 points
      escalation: +5%
      latency: 2x
      cost: +20%
      drift: huge
    within: 0.5x
  - canary: two
    candidate: v2
    control: v2
    stages: [{share: 10%}, {share: 60%}]
    guardrails: {accuracy: 0.9, escalation: 0.5x, error_rate: 100%, cost: 10 USD}
    at_least: 0
  - canary: three
    stages: [{share: 100%, hold: 1h}]
    guardrails: {accuracy: off, escalation: off, error_rate: off, cost: off, p95: off, drift: off}
  - canary: four
    guardrails: escalation
    at_leest: 5
  - just words
"""


def test_canaries_are_read_with_their_units() -> None:
    rules, mistakes = rules_file.parse(GOOD)
    assert mistakes == []
    usual, refunds = rules.canaries
    assert usual == CanaryPlan(name="all", stages=BUILT_IN["careful"], limits=GUARDS)
    assert refunds == CanaryPlan(
        name="refunds",
        agent="refund-agent",
        tenant="acme",
        candidate="v2",
        control="v1",
        stages=(Stage(0.025), Stage(0.5, 72 * 3600), Stage(1.0)),
        limits=(
            Limit(Guard.ACCURACY, Form.OWN, 0.9),
            Limit(Guard.ESCALATION, Form.POINTS, 0.05),
            Limit(Guard.ERROR_RATE, Form.TIMES, 1.5),
            Limit(Guard.P95, Form.TIMES, 2.0),
            Limit(Guard.DRIFT, Form.INDEX, 0.1),
        ),
        at_least=20,
        within=1.0,
        error=0.01,
    )
    assert refunds.sure == 5 * 2 / 0.01
    assert canary_sentence(refunds) == (
        "agent refund-agent of tenant acme: v2 beside v1, 2.5% -> 50% (3d) -> 100%; accuracy, escalation, error_rate, p95, drift"
    )


def test_the_example_is_one() -> None:
    rules, mistakes = rules_file.parse(b"rules: []\n" + (rules_canaries.__doc__ or "").partition("\n\n")[2].encode())
    assert mistakes == []
    assert [(plan.stages, plan.limits, plan.at_least, plan.within, plan.error) for plan in rules.canaries] == [
        (BUILT_IN["careful"], GUARDS, CanaryPlan(name="").at_least, CanaryPlan(name="").within, CanaryPlan(name="").error)
    ], "what it shows is what is left out"


def test_every_mistake_says_what_to_write() -> None:
    rules, mistakes = rules_file.parse(BAD)
    assert rules.canaries == ()
    assert [(one.line, one.what) for one in mistakes] == [
        (3, 'canary number 1: canary is missing; write for instance canary: refunds'),
        (4, 'canary number 1: stages: there is no plan carefull, and it is no list of stages; is careful meant?'),
        (5, "canary number 1: error: '0.05' is no chance of an error from 0.01% to 20%; write 5%"),
        (8, "canary number 2: stage 1: share: '25' is no share of the traffic, over 0% and up to 100%; write 25%"),
        (9, "canary number 2: stage 2: hold: '90s': whole minutes are wanted, from 1m to 31d"),
        (10, 'canary number 2: stage 3: share: 40% is no more than the stage before has; each stage has more traffic'),
        (10, 'canary number 2: stage 3: there is no field wait; is hold meant?'),
        (11, 'canary number 2: stage 4: fields are wanted, such as {share: 25%, hold: 48h}'),
        (13, "canary number 2: guardrails: accuracy: '+3 points' asks for better than the control; write -3 points"),
        (14, "canary number 2: guardrails: escalation: '+5%' is no limit of escalation; write 1.05x or +5 points"),
        (15, 'canary number 2: guardrails: there is no field latency; is p95 meant?'),
        (16, "canary number 2: guardrails: cost: '+20%' is no limit of cost; write 1.2x"),
        (17, 'canary number 2: guardrails: drift: there is no drift huge; there are moderate, major, off'),
        (18, "canary number 2: within: '0.5x' is no multiple of a limit from 1x to 10x; write 2x"),
        (19, 'canary number 3: canary: line 6 has a canary of this name already; give each its own'),
        (21, 'canary number 3: control: the candidate is v2 too; name what it is compared with'),
        (22, 'canary number 3: stage 2: share: the last stage is 100%, where the canary ends; write 100%, or add a stage'),
        (23, "canary number 3: guardrails: accuracy: '0.9' is no limit of accuracy; write -3 points or 90% or off"),
        (23, "canary number 3: guardrails: cost: '10 USD' is no limit of cost; write 1.5x or off"),
        (23, "canary number 3: guardrails: error_rate: '100%': a share lies between 0% and 100%; write +5 points"),
        (23, "canary number 3: guardrails: escalation: '0.5x' asks for less than the control has; "
         "write a factor from 1x on, such as 1.5x"),
        (24, "canary number 3: at_least: a whole number from 1 on is wanted, this is '0'"),
        (26, 'canary number 4: stage 1: hold: at 100% there is nothing to compare with, so nothing to wait for; leave it out'),
        (26, 'canary number 4: stages: from 2 to 10 stages are wanted, the last of them 100%'),
        (27, 'canary number 4: guardrails: every guardrail is off, so nothing would be judged; leave one on'),
        (29, "canary number 5: guardrails: guardrails with their limits are wanted, "
         "such as {escalation: 20%}; this is 'escalation'"),
        (30, 'canary number 5: there is no field at_leest; is at_least meant?'),
        (31, "canary number 6: fields such as `canary:` are wanted, this is 'just words'"),
    ]  # fmt: skip

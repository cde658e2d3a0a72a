-- Does the agents' confidence mean what it says?
-- number: 9b
-- param tenant: String = default
--     whose decisions
-- param agent: String =
--     only decisions of this agent; empty = all
-- param since: DateTime64(6, 'UTC') = today-30d
--     decisions that began at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     decisions that began before this moment
--
-- Decisions that told a confidence and whose outcome is known, in ten bins of confidence, and together (`all`). `off` is how
-- far the share of right ones lies from the mean confidence; together it is the expected calibration error, the mean over the
-- bins by their number of decisions. `brier` is the mean of (confidence - right)^2: 0 is perfect, 0.25 is what 0.5 always gets.
-- Of few decisions both are large by chance alone. Bounds of the accuracy: Wilson, 95 %.

WITH
    1.959963984540054 AS z,
    (k, n, s) -> if(n = 0, NULL, round(
        (k / n + s * s / 2 / n + s * sqrt(k / n * (1 - k / n) / n + s * s / 4 / n / n)) / (1 + s * s / n), 4)) AS wilson,
    labelled AS
    (
        SELECT
            agent,
            toInt64(round(assumeNotNull(confidence) * 1000000)) AS millionths,
            outcome = 'correct' AS right,
            least(intDiv(millionths * 10, 1000000), 9) AS bin
        FROM decisions
        WHERE tenant = {tenant:String}
          AND ({agent:String} = '' OR agent = {agent:String})
          AND started_at >= {since:DateTime64(6, 'UTC')}
          AND started_at < {until:DateTime64(6, 'UTC')}
          AND confidence IS NOT NULL
          AND outcome IN ('correct', 'incorrect')
    ),
    binned AS
    (
        SELECT
            agent,
            bin,
            count() AS n,
            sum(right) AS k,
            sum(millionths) AS told,
            abs(1000000 * toInt64(k) - told) AS off,
            sum(toInt128(millionths - 1000000 * right) * (millionths - 1000000 * right)) AS squares
        FROM labelled
        GROUP BY agent, bin
    )
SELECT
    agent,
    if(part < 0, 'all', concat(toString(part / 10), ' to ', toString((part + 1) / 10))) AS confidence,
    sum(n) AS decisions,
    sum(k) AS right,
    round(right / decisions, 4) AS accuracy,
    wilson(right, decisions, -z) AS low,
    wilson(right, decisions, z) AS high,
    round(sum(told) / 1000000 / decisions, 4) AS mean_confidence,
    round(sum(off) / 1000000 / decisions, 4) AS off,
    round(toFloat64(sum(squares)) / 1e12 / decisions, 4) AS brier
FROM binned
ARRAY JOIN [-1, bin] AS part
GROUP BY agent, part
ORDER BY agent, part;

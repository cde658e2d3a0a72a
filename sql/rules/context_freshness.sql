-- How long does a change of a source take until it can be searched?
-- param from: DateTime64(6, 'UTC')
--     the beginning of the window
-- param to: DateTime64(6, 'UTC')
--     its end, not part of it
-- param watched: UInt8 = 1
--     1 = the window is asked of as it ends; 0 = it was over while nobody watched
-- unit value: s
--
-- Of what an indexer tells (events of kind embedding with the measure commit_to_searchable_ms, see schemas/freshness.py) in the
-- window, by tenant and source: the longest time from the commit to where it can be searched, in seconds; or the time since the
-- source's canary was last found, if that is longer. A source without a canary is only judged by what it tells; of one that
-- nothing was ever heard of, nothing is said. A canary that was silent for a day is given up.
-- The decisions are those that searched the source in the window.

SELECT
    tenant,
    target_system AS source,
    greatest(
        maxIf(measures['commit_to_searchable_ms'], told AND received_at >= {from:DateTime64(6, 'UTC')}) / 1000,
        if({watched:UInt8} = 1 AND canaries > 0,
            dateDiff('microsecond', maxIf(received_at, canary), {to:DateTime64(6, 'UTC')}) / 1e6, 0)) AS value,
    countIf(canary) AS canaries,
    countIf(told AND received_at >= {from:DateTime64(6, 'UTC')}) + ({watched:UInt8} = 1 AND canaries > 0) AS samples,
    groupUniqArrayIf(5)(decision_key, kind = 'retrieval' AND decision_key != '') AS decisions
FROM
(
    SELECT
        tenant, target_system, kind, decision_key, measures, received_at,
        kind = 'embedding' AS told,
        told AND name = 'index.canary' AS canary
    FROM events
    WHERE clock = 'source'
      AND target_system != ''
      AND received_at < {to:DateTime64(6, 'UTC')}
      AND (kind = 'embedding'
               AND mapContains(measures, 'commit_to_searchable_ms')
               AND received_at >= {to:DateTime64(6, 'UTC')} - toIntervalDay(1)
           OR kind = 'retrieval'
               AND received_at >= {from:DateTime64(6, 'UTC')})
)
GROUP BY tenant, source
HAVING samples > 0;

-- what the indexer told of the source, and who searched it
SELECT received_at, kind, name, decision_key, measures['commit_to_searchable_ms'] AS commit_to_searchable_ms
FROM events
WHERE tenant = {tenant:String}
  AND target_system = {source:String}
  AND kind IN ('embedding', 'retrieval')
  AND received_at >= {from:DateTime64(6, 'UTC')} - toIntervalHour(1)
  AND received_at < {to:DateTime64(6, 'UTC')}
ORDER BY received_at DESC
LIMIT 100;

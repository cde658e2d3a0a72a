-- What could not be used, and why?
-- number: 8d
-- param tenant: String =
--     only this tenant's; empty = all, those without a tenant too
-- param since: DateTime64(6, 'UTC') = today-30d
--     first seen at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     first seen before this moment
--
-- Dead letters are whole: `waterline replay` puts them back once the reason is gone.

SELECT
    consumer,
    topic,
    stage,
    code,
    uniqExact(id) AS letters,
    uniqExactIf(id, replays > 0) AS replayed_before,
    any(reason) AS for_example,
    min(first_seen) AS first_at,
    max(first_seen) AS last_at
FROM dead_letters
WHERE ({tenant:String} = '' OR tenant = {tenant:String})
  AND first_seen >= {since:DateTime64(6, 'UTC')}
  AND first_seen < {until:DateTime64(6, 'UTC')}
GROUP BY consumer, topic, stage, code
ORDER BY letters DESC, consumer, topic, stage, code;

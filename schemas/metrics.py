"""Every Prometheus metric, once. The prefix is the process; labels never hold ids, names of people or free text."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` follows Prometheus' conventions: base units, `_total` on counters."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_COMMIT_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_RECOVERY_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

STREAMS: tuple[Metric, ...] = (
    Metric("streams_lag_records", "gauge", "records of the partition that are not applied yet", ("topic", "partition")),
    Metric("streams_partitions", "gauge", "partitions this worker owns, by what they are doing", ("stage", "state")),
    Metric("streams_states", "gauge", "states held in memory", ("stage",)),
    Metric("streams_frames_total", "counter", "records applied, ticks among them", ("stage",)),
    Metric("streams_events_total", "counter", "lines applied", ("stage",)),
    Metric("streams_skipped_total", "counter", "records that came again after they were applied", ("stage",)),
    Metric("streams_buried_total", "counter", "lines and records buried", ("stage", "code")),
    Metric("streams_left_out_total", "counter", "inputs that came too late to change what was said of a window", ("stage",)),
    Metric("streams_produced_total", "counter", "records produced in committed transactions", ("topic",)),
    Metric("streams_transactions_total", "counter", "transactions, by how they ended: committed, aborted", ("stage", "outcome")),
    Metric("streams_commit_seconds", "histogram", "from the first record of a transaction to its commit", ("stage",), _COMMIT_S),
    Metric("streams_recoveries_total", "counter", "times a partition's state was loaded, by where from", ("stage", "source")),
    Metric("streams_recovery_seconds", "histogram", "time to load a partition's state", ("stage",), _RECOVERY_S),
    Metric("streams_rules_unreadable", "gauge", "1 while the rules file is wrong and the older rules stay in force"),
    Metric("streams_rules_reloads_total", "counter", "changed rules files, by what came of them: taken, refused", ("outcome",)),
)

_QUERY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

FRONT: tuple[Metric, ...] = (
    Metric("front_queries_total", "counter", "requests for a statement, whatever came of them"),
    Metric("front_refused_total", "counter", "statements not answered, by ClickHouse's error code or client_gone", ("code",)),
    Metric("front_query_seconds", "histogram", "from the first byte of a request to the last of its answer", (), _QUERY_S),
    Metric("front_rows_total", "counter", "rows read by statements and written by inserts", ("direction",)),
    Metric("front_sent_bytes_total", "counter", "bytes of answers"),
    Metric("front_in_flight", "gauge", "statements at work", ("lane",)),
    Metric("front_sessions", "gauge", "sessions kept by name"),
    Metric("front_held_bytes", "gauge", "bytes of request bodies in memory"),
)

_INSERT_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

SINK: tuple[Metric, ...] = (
    Metric("sink_lag_records", "gauge", "records of the partition that are not committed yet", ("topic", "partition")),
    Metric("sink_partitions", "gauge", "partitions this sink owns, by what they are doing", ("state",)),
    Metric("sink_paused_partitions", "gauge", "partitions not read because what was read is not stored yet"),
    Metric("sink_held_bytes", "gauge", "bytes of records in memory"),
    Metric("sink_records_total", "counter", "records of ranges that were written, ticks among them", ("topic",)),
    Metric("sink_rows_total", "counter", "rows written", ("topic",)),
    Metric("sink_copies_total", "counter", "re-sent events that were not written again", ("topic",)),
    Metric("sink_buried_total", "counter", "lines and records buried", ("topic",)),
    Metric("sink_ranges_total", "counter", "ranges written", ("topic",)),
    Metric("sink_refused_total", "counter", "batches that ClickHouse refused as data, before they were split", ("topic",)),
    Metric("sink_retries_total", "counter", "steps that failed and are tried again", ("topic",)),
    Metric("sink_lost_records_total", "counter", "offsets that Kafka deleted before they were read", ("topic",)),
    Metric("sink_insert_seconds", "histogram", "to write one range: rows, ledger, dead letters", ("topic",), _INSERT_S),
)

_REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

COLLECTOR: tuple[Metric, ...] = (
    Metric("collector_requests_total", "counter", "requests answered", ("route", "status")),
    Metric("collector_events_total", "counter", "events that Kafka confirmed", ("tenant", "route")),
    Metric("collector_bytes_total", "counter", "bytes of bodies after inflation", ("tenant",)),
    Metric("collector_rejected_total", "counter", "records not taken while the rest of their request may be", ("tenant", "code")),
    Metric("collector_refused_total", "counter", "requests refused whole; no tenant = before it was known", ("tenant", "code")),
    Metric("collector_bodies_dropped_total", "counter", "prompts, completions and the like that were not kept", ("tenant",)),
    Metric("collector_metrics_dropped_total", "counter", "OTLP metrics answered and not kept: spans say the same", ("tenant",)),
    Metric("collector_redactions_total", "counter", "values taken out of text before Kafka", ("tenant", "kind")),
    Metric("collector_frames_total", "counter", "frames handed to Kafka"),
    Metric("collector_frames_refused_total", "counter", "frames that Kafka refused for good"),
    Metric("collector_producer_restarts_total", "counter", "times the producer was begun anew after a fatal error"),
    Metric("collector_queued_bytes", "gauge", "bytes of events that Kafka has not confirmed"),
    Metric("collector_held_bytes", "gauge", "bytes promised by bodies that are being received"),
    Metric("collector_in_flight", "gauge", "frames and ticks that Kafka has not confirmed"),
    Metric("collector_stalled_seconds", "gauge", "age of the oldest frame or tick that Kafka has not confirmed"),
    Metric("collector_free_bytes", "gauge", "free space of the data directory's disk"),
    Metric("collector_keys_unreadable", "gauge", "1 while the key file cannot be read and older keys stay in force"),
    Metric("collector_request_seconds", "histogram", "from the first byte of a request to its answer", ("route",), _REQUEST_S),
)

_SEND_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

NOTIFIER: tuple[Metric, ...] = (
    Metric("notifier_lag_records", "gauge", "transitions of the partition that are not committed yet", ("topic", "partition")),
    Metric("notifier_pending", "gauge", "notifications that wait for the channel", ("channel",)),
    Metric("notifier_failing", "gauge", "attempts on the channel that failed since it last took one", ("channel",)),
    Metric("notifier_attempts_total", "counter", "requests to the receiver: delivered, refused, failed", ("channel", "outcome")),
    Metric("notifier_receipts_total", "counter", "receipts written, by what became of the notification", ("channel", "state")),
    Metric("notifier_unreadable_total", "counter", "records that are no transition; the sink buries them"),
    Metric("notifier_routes_unreadable", "gauge", "1 while the routes file is wrong and the older one stays in force"),
    Metric("notifier_send_seconds", "histogram", "one request to the receiver", ("channel",), _SEND_S),
)

RULER: tuple[Metric, ...] = (
    Metric("ruler_questions_total", "counter", "times a rule's question was asked: answered, failed", ("rule", "outcome")),
    Metric("ruler_question_seconds", "histogram", "one question that was answered", ("rule",), _QUERY_S),
    Metric("ruler_behind_seconds", "gauge", "age of the oldest window that is due and not judged", ("rule",)),
    Metric("ruler_transitions_total", "counter", "transitions of alerts, by what they came to", ("rule", "state")),
    Metric("ruler_rules_unreadable", "gauge", "1 while the rules file is wrong and the older rules stay in force"),
    Metric("ruler_rules_reloads_total", "counter", "changed rules files, by what came of them: taken, refused", ("outcome",)),
)

METRICS: tuple[Metric, ...] = (*STREAMS, *FRONT, *SINK, *COLLECTOR, *NOTIFIER, *RULER)

"""What a worker says of itself: not ready until every partition is at work, and always why."""

import signal
import socket

from tests.streams.arena import PARTITIONS, Arena, until


def test_ready_means_every_partition_is_at_work(arena: Arena) -> None:
    worker = arena.start()
    told: list[tuple[int, str]] = []

    def ready() -> bool:
        told.append(arena.ask(arena.ports[0], "/readyz"))
        return told[-1][0] == 200

    until(ready, worker.tail)
    for stage in ("decide", "groups"):
        running = f'streams_partitions{{stage="{stage}",state="running"}}'
        until(lambda: arena.metric(worker, running) == PARTITIONS, worker.tail)  # noqa: B023
    assert {code for code, _ in told} <= {0, 200, 503}
    assert all(text.strip() for _, text in told)
    assert arena.ask(arena.ports[0], "/elsewhere")[0] == 404


def test_a_worker_without_its_topics_names_them_and_waits(arena: Arena) -> None:
    worker = arena.start(prefix="nowhere")
    until(lambda: "topics are missing: nowhere." in arena.ask(arena.ports[0], "/readyz")[1], worker.tail)
    assert arena.ask(arena.ports[0], "/readyz")[0] == 503
    worker.signal(signal.SIGTERM)
    assert arena.ended(worker, 15) == 0


def test_a_worker_that_starts_before_kafka_says_so_and_can_be_stopped(arena: Arena) -> None:
    worker = arena.start(kafka="127.0.0.1:1")
    until(lambda: "Kafka at 127.0.0.1:1 does not answer" in arena.ask(arena.ports[0], "/readyz")[1], worker.tail)
    assert arena.ask(arena.ports[0], "/healthz")[0] == 200
    worker.signal(signal.SIGTERM)
    assert arena.ended(worker, 15) == 0


def test_a_taken_port_is_the_first_thing_said(arena: Arena) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        worker = arena.start(streams_metrics_port=str(door.getsockname()[1]))
        assert arena.ended(worker) == 1
        assert "cannot listen on 127.0.0.1" in worker.tail()


def test_lag_and_counts_can_be_read(arena: Arena) -> None:
    worker = arena.start()
    arena.send(10)
    arena.tick(3)
    arena.wait_applied(worker)
    name = arena.topics.inputs[0].name
    frames, lag = 'streams_frames_total{stage="decide"}', f'streams_lag_records{{partition="0",topic="{name}"}}'
    until(lambda: arena.metric(worker, frames) == 10 + 3 * PARTITIONS, worker.tail)
    until(lambda: f"{lag} 0.0" in arena.ask(arena.ports[0], "/metrics")[1], worker.tail)
    assert arena.metric(worker, 'streams_events_total{stage="decide"}') == arena.sent
    assert arena.metric(worker, 'streams_transactions_total{outcome="committed",stage="decide"}') >= 1


def test_a_worker_that_stands_still_is_ended(arena: Arena) -> None:
    """A transaction of someone else keeps the input from being read, which no restart mends but every reader must see."""
    worker = arena.start(streams_stall_s="8")
    arena.ready(worker)
    ghost = arena.open_transaction()
    arena.send(5)
    until(lambda: "behind, none applied" in arena.ask(arena.ports[0], "/readyz")[1], worker.tail)
    assert arena.ended(worker, 40) == 75
    assert "stalled" in worker.tail()
    ghost.abort_transaction(10)
    arena.wait_applied(arena.start())
    assert arena.wrongs() == {}

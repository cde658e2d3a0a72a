"""Every knob on one page. A knob is an environment variable, `WATERLINE_` and the name in capitals; it is read once,
when a process starts, and cannot change after that. `waterline settings` prints this page with the values in force."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from waterline.schemas.events import read_required


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="WATERLINE_", frozen=True, extra="ignore")

    # where things are
    data_dir: Path = Field(Path(".waterline"), description="everything the local stack keeps")
    cache_dir: Path = Field(Path("~/.cache/waterline"), description="downloaded jars, shared between checkouts")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe line that is logged")

    # Kafka
    kafka: str = Field("127.0.0.1:9092", description="bootstrap servers, host:port[,host:port]")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="transport to the brokers"
    )
    kafka_sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "", description="SASL mechanism; empty = none"
    )
    kafka_sasl_username: str = Field("", description="SASL user")
    kafka_sasl_password: str = Field("", description="SASL password", repr=False)
    kafka_ssl_ca: str = Field("", description="file with the CA that signed the brokers' certificates")
    kafka_ssl_certificate: str = Field("", description="client certificate file, for mutual TLS")
    kafka_ssl_key: str = Field("", description="client key file, for mutual TLS")
    partitions: int = Field(12, ge=1, le=1024, description="partitions of each topic, fixed when it is created")
    replication_factor: int = Field(1, ge=1, le=7, description="copies of each partition")

    # ClickHouse
    clickhouse: str = Field("http://127.0.0.1:8123", description="URL of ClickHouse's HTTP interface; https for TLS")
    clickhouse_user: str = Field("default", description="user")
    clickhouse_password: str = Field("", description="password", repr=False)
    clickhouse_database: str = Field("waterline", description="database that holds the tables")
    clickhouse_ssl_ca: str = Field("", description="file with the CA that signed the server's certificate")
    clickhouse_cluster: str = Field("", description="cluster name; empty = single node")

    # health
    health_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="address every process binds its health and metrics port to, without TLS or credential; 0.0.0.0 = all",
    )

    # collector
    collector_host: str = Field("127.0.0.1", description="address the collector binds; off loopback a key is required")
    collector_port: int = Field(4318, ge=0, le=65535, description="OTLP/HTTP and JSON port")
    collector_grpc_port: int = Field(4317, ge=0, le=65535, description="OTLP/gRPC port")
    collector_body_limit: int = Field(20 * 2**20, ge=1024, description="bytes of a body, before and after inflation")
    collector_queue_bytes: int = Field(64 * 2**20, ge=2**20, description="bytes not yet confirmed by Kafka; above it 503")
    collector_linger_ms: float = Field(5.0, ge=0, le=1000, description="how long requests wait to share a frame")
    collector_deadline_s: float = Field(10.0, gt=0, description="how long a request waits for Kafka before 503")
    collector_keys: str = Field("", description="file of API keys; empty = keys.json in data_dir")
    collector_default_tenant: str = Field("default", description="tenant without a key, on loopback only; empty = none")
    collector_metrics_port: int = Field(9464, ge=0, le=65535, description="health and Prometheus metrics")
    collector_tls_certificate: str = Field("", description="certificate file of the collector's ports; empty = no TLS")
    collector_tls_key: str = Field("", description="key file of that certificate")
    collector_tls_clients: str = Field("", description="file with the CA of client certificates; set = one is required")
    free_space_mark: int = Field(2**30, ge=0, description="free bytes of data_dir under which the collector answers 503")

    # frames
    frame_events: int = Field(1000, ge=1, le=1000, description="events of a frame")
    frame_bytes: int = Field(2**20 - 2**16, ge=1024, description="bytes of a frame")

    # sink
    sink_rows: int = Field(20_000, ge=1, description="rows of a batch")
    sink_bytes: int = Field(16 * 2**20, ge=1024, description="bytes of a batch")
    sink_linger_s: float = Field(1.0, gt=0, description="age at which a batch is written whatever its size")
    sink_durability: Literal["normal", "fsync"] = Field(
        "normal", description="normal = page cache, fsync = on disk before the commit"
    )
    sink_window: int = Field(200_000, ge=0, description="event ids a partition remembers, to drop re-sent copies")
    sink_memory: int = Field(256 * 2**20, ge=2**20, description="bytes of records in memory; above it partitions are paused")
    sink_inserts: int = Field(4, ge=1, le=64, description="inserts under way at a time, each of another partition")
    sink_session_s: float = Field(10.0, ge=6, le=300, description="silence after which Kafka gives the partitions to another")
    sink_instance: str = Field("", description="name of this sink for static membership: a restart is no rebalance; empty = none")
    sink_metrics_port: int = Field(9465, ge=0, le=65535, description="health and Prometheus metrics")

    # streams
    streams_batch_frames: int = Field(100, ge=1, description="frames applied in one transaction")
    streams_linger_s: float = Field(
        0.2, gt=0, description="least time between two transactions of a partition, unless a batch is full"
    )
    streams_bugs_in_a_row: int = Field(10, ge=1, description="lines in a row that fail as a bug before the worker stops")
    streams_stall_s: float = Field(120.0, gt=0, description="time with lag and no progress after which the worker restarts")
    streams_metrics_port: int = Field(9466, ge=0, le=65535, description="health and Prometheus metrics")
    decision_grace_s: float = Field(900.0, gt=0, description="event time without news after which a decision is closed")
    decision_keep_days: int = Field(45, ge=1, description="days a closed decision can be reopened")
    decision_ids: int = Field(10_000, ge=1, description="event ids one decision remembers, to drop re-sent copies")
    decisions_in_memory: int = Field(20_000, ge=100, description="decisions a partition keeps in memory; others lie on disk")
    parked_events: int = Field(1_000, ge=0, description="events one business id holds back until it is linked")
    parked_hours: float = Field(72.0, gt=0, description="time since receipt after which an event that was never linked is buried")
    clock_skew_s: float = Field(300.0, ge=0, description="how far an event time may be ahead of its receipt")
    expected_days: int = Field(30, ge=1, le=366, description="closed days an expected cost is taken from")
    expected_min_decisions: int = Field(20, ge=1, description="decisions under which an expected cost is null")
    window_lateness_s: float = Field(
        10.0, ge=0, description="how long after its end a live window of a rule waits for its last word; a replay's does not wait"
    )
    required_fields: str = Field(
        "agent, decision_key|decision_id",
        description="fields without which an event of an agent's work is counted as incomplete; | = one of them is enough",
    )
    quality_every_s: float = Field(
        300.0, ge=1, description="event time between two words on the quality of a group's day, while it changes"
    )
    rules_file: str = Field("", description="alert rules; empty = the default ones (`waterline rules`)")
    prices_file: str = Field("", description="override file: negotiated, self-hosted and other-currency prices, reviewer rates")
    price_from: Literal["agent", "gateway"] = Field(
        "agent", description="which source prices a call that both report without a shared response id"
    )
    reviewer_rate: str = Field("60", description="USD an hour of human review, where the override file names no other")

    # notifier
    routes_file: str = Field("", description="where alerts go: channels, routes, silences; empty = nothing is sent")
    notifier_metrics_port: int = Field(9467, ge=0, le=65535, description="health and Prometheus metrics")
    notifier_pending: int = Field(
        20_000, ge=1, description="notifications in memory that no receiver has taken yet; above it no more are read"
    )
    notifier_instance: str = Field(
        "", description="name of this notifier for static membership: a restart is no rebalance; empty = none"
    )

    # ruler
    ruler_lateness_s: float = Field(
        15.0, ge=0, description="how long after its end a window is asked of by rules that are questions; rows may come so late"
    )
    ruler_metrics_port: int = Field(9468, ge=0, le=65535, description="health and Prometheus metrics")

    @field_validator("required_fields")
    @classmethod
    def _fields(cls, text: str) -> str:
        read_required(text)
        return text


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()

"""The Faust app: who owns which partition, and what is read from them. It writes nothing and keeps no state of its own."""

import logging
import ssl
from typing import Any, ClassVar

import faust
from aiokafka import AIOKafkaConsumer
from faust.tables import TableManager
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.auth import CredentialsT

from waterline.schemas.settings import Settings

SCHEME = "waterline"
FETCH_WAIT_MS, FETCH_BYTES = 50, 16 * 1024
"""A fetch costs more than what is in it when it brings one record: it waits for so long for so much."""
BUFFERED_RECORDS = 256
"""records that wait in memory between the fetcher and a stage; each is at most 1 MiB"""


class CommittedThread(AIOKafkaConsumerThread):
    """Reads committed records only. Faust does so in its exactly-once mode alone, of which nothing else is wanted here."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        self.consumer.in_transaction = True
        try:
            consumer = super()._create_worker_consumer(transport)
        finally:
            self.consumer.in_transaction = False
        # The broker answers a connection's requests in order, so whatever a rebalance asks waits for the fetch before it.
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._fetch_min_bytes = FETCH_BYTES
        return consumer


class CommittedConsumer(Consumer):
    """`fetched` is the last offset of each partition that was handed on to the agents."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fetched: dict[TP, int] = {}

    def _to_message(self, tp: TP, record: Any) -> Any:
        self.fetched[tp] = record.offset
        return super()._to_message(tp, record)

    def _new_consumer_thread(self) -> CommittedThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(Transport):
    Consumer: ClassVar[type] = CommittedConsumer


class Tables(TableManager):
    """Faust waits a second for tables that are declared while the app starts; here they are declared before."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


def make_app(settings: Settings, group: str, instance: str) -> faust.App:
    """An app that is not started. `instance` names this worker for good, so that its restart is not a rebalance."""
    TRANSPORTS.aliases[SCHEME] = f"{__name__}:CommittedTransport"
    for noisy in ("faust", "mode", "aiokafka"):  # the watch says what they would repeat
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    return faust.App(
        group,
        TableManager=Tables,
        broker=[f"{SCHEME}://{server}" for server in settings.kafka.split(",")],
        broker_credentials=credentials(settings),
        consumer_group_instance_id=instance,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=6.0,
        broker_heartbeat_interval=2.0,
        broker_commit_interval=1.0,
        broker_max_poll_records=BUFFERED_RECORDS,
        stream_buffer_maxsize=BUFFERED_RECORDS,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        table_standby_replicas=0,
        recovery_consistency_check=True,
        topic_disable_leader=True,
        topic_allow_declare=False,
        reply_create_topic=False,
        web_enabled=False,
        autodiscover=False,
        datadir=str(settings.data_dir / "streams"),
        key_serializer="raw",
        value_serializer="raw",
    )


def credentials(settings: Settings) -> CredentialsT | None:
    """The same settings that schemas/clients.py turns into librdkafka's properties."""
    protocol = settings.kafka_security_protocol
    context = None
    if protocol in ("SSL", "SASL_SSL"):
        context = ssl.create_default_context(cafile=settings.kafka_ssl_ca or None)
        if settings.kafka_ssl_certificate:
            context.load_cert_chain(settings.kafka_ssl_certificate, settings.kafka_ssl_key or None)
    if protocol == "SSL":
        return faust.SSLCredentials(context)
    if protocol == "PLAINTEXT":
        return None
    return faust.SASLCredentials(
        username=settings.kafka_sasl_username,
        password=settings.kafka_sasl_password,
        mechanism=settings.kafka_sasl_mechanism or None,
        ssl_context=context,
    )

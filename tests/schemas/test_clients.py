from pathlib import Path

from confluent_kafka.admin import AdminClient

from waterline.schemas.clients import kafka_config
from waterline.schemas.settings import Settings


def test_plain_settings_name_nothing_but_the_transport() -> None:
    assert kafka_config(Settings(kafka="broker:1")) == {"bootstrap.servers": "broker:1", "security.protocol": "PLAINTEXT"}


def test_librdkafka_takes_every_property(tmp_path: Path) -> None:
    settings = Settings(
        kafka="broker:1",
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username="user",
        kafka_sasl_password="secret",
        kafka_ssl_ca=str(tmp_path / "ca.pem"),
    )
    properties = kafka_config(settings)
    AdminClient({**properties, "log_level": 0})
    assert properties["sasl.mechanism"] == "SCRAM-SHA-512"
    assert properties["ssl.ca.location"].endswith("ca.pem")

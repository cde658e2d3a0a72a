"""How a process of Waterline reaches Kafka, from the settings: transport, credentials, certificates."""

from waterline.schemas.settings import Settings


def kafka_config(settings: Settings) -> dict[str, str]:
    """librdkafka's connection properties. A caller adds its own (`group.id`, `transactional.id`, ...) to them."""
    wanted = {
        "bootstrap.servers": settings.kafka,
        "security.protocol": settings.kafka_security_protocol,
        "sasl.mechanism": settings.kafka_sasl_mechanism,
        "sasl.username": settings.kafka_sasl_username,
        "sasl.password": settings.kafka_sasl_password,
        "ssl.ca.location": settings.kafka_ssl_ca,
        "ssl.certificate.location": settings.kafka_ssl_certificate,
        "ssl.key.location": settings.kafka_ssl_key,
    }
    return {name: value for name, value in wanted.items() if value}

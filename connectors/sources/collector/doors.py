"""Who may come in: a credential -> the door it opens. Without keys only loopback is served, under the default tenant."""

import ipaddress
from collections.abc import Callable

from waterline.connectors.sources.collector.dialects.plan import Plans
from waterline.connectors.sources.collector.intake import Door
from waterline.connectors.sources.collector.keys import Keys, Tenant
from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.settings import Settings


class NotSafe(Exception):
    """The collector would be open to the network without a key. The message says what to do."""


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Doors:
    """Doors stay open until the key file changes."""

    def __init__(self, keys: Keys, settings: Settings, clean_of: Callable[[str, Tenant], Callable[[str, str], str]]) -> None:
        self.keys = keys
        self.default = settings.collector_default_tenant if is_loopback(settings.collector_host) else ""
        self._clean_of = clean_of
        self._doors: dict[str, Door] = {}
        if not self.default and not keys.content.keys and not is_loopback(settings.collector_host):
            raise NotSafe(
                f"{settings.collector_host} is not loopback and {keys.path} holds no key; "
                "make one with `waterline keys create TENANT`"
            )

    def reload(self) -> bool:
        """Read the key file again if it changed."""
        changed = self.keys.load()
        if changed:
            self._doors.clear()
        return changed

    def open(self, authorization: str) -> Door:
        """The door of an `Authorization` header. Raises Permanent(UNAUTHENTICATED)."""
        if not authorization:
            if not self.default:
                raise Permanent(ErrorCode.UNAUTHENTICATED, "an API key is needed: send the header `Authorization: Bearer <key>`")
            return self.of(self.default)
        scheme, _, credential = authorization.partition(" ")
        if not credential:
            credential = scheme
        elif scheme.lower() != "bearer":
            raise Permanent(ErrorCode.UNAUTHENTICATED, f"the scheme {scheme!r} is not Bearer")
        tenant, _ = self.keys.tenant_of(credential.strip())
        return self.of(tenant)

    def of(self, tenant: str) -> Door:
        door = self._doors.get(tenant)
        if door is None:
            choices = self.keys.content.tenants.get(tenant, Tenant())
            door = self._doors[tenant] = Door(tenant, Plans(self._clean_of(tenant, choices)), choices.bodies)
        return door

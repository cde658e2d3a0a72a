"""Who may come in: a credential -> the door it opens. Without keys only loopback is served, under the default tenant."""

import ipaddress
import time

from waterline.connectors.sources.collector.dialects.plan import Plans
from waterline.connectors.sources.collector.intake import Door
from waterline.connectors.sources.collector.keys import Key, Keys, Tenant
from waterline.connectors.sources.collector.quota import Quota, unlimited
from waterline.connectors.sources.collector.redact import Redactor
from waterline.schemas.errors import ErrorCode, Permanent, Transient
from waterline.schemas.settings import Settings


class NotSafe(Exception):
    """The collector would be open to the network without a key. The message says what to do."""


class QuotaExceeded(Transient):
    """`tenant` has used up its rate."""

    def __init__(self, tenant: str, wait_s: float) -> None:
        super().__init__(ErrorCode.QUOTA_EXCEEDED, f"tenant {tenant!r} has used up its rate of events or bytes", wait_s)
        self.tenant = tenant


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Doors:
    """Doors stay as they are until the key file changes; what a tenant has used of its rate outlives that."""

    def __init__(self, keys: Keys, settings: Settings) -> None:
        self.keys = keys
        self.redactors: dict[str, Redactor] = {}
        self.default = settings.collector_default_tenant if is_loopback(settings.collector_host) else ""
        self._by_key: dict[str, Door] = {}
        self._plans: dict[str, Plans] = {}
        self._quotas: dict[str, Quota] = {}
        if not self.default and not keys.content.keys:
            raise NotSafe(
                f"{keys.path} holds no key and nothing but loopback with a default tenant is served without one; "
                "make one with `waterline keys create TENANT`"
            )

    def reload(self) -> bool:
        """Read the key file again if it changed."""
        changed = self.keys.load()
        if changed:
            self._by_key.clear()
            self._plans.clear()
        return changed

    def open(self, authorization: str) -> Door:
        """The door of an `Authorization` header. Raises Permanent(UNAUTHENTICATED) or QuotaExceeded."""
        door = self._find(authorization)
        now = time.monotonic()
        for quota in door.quotas:
            if (wait := quota.wait(now)) > 0:
                raise QuotaExceeded(door.tenant, wait)
        return door

    def _find(self, authorization: str) -> Door:
        if not authorization:
            if not self.default:
                raise Permanent(ErrorCode.UNAUTHENTICATED, "an API key is needed: send the header `Authorization: Bearer <key>`")
            return self._by_key.get("") or self._make(self.default, None)
        scheme, _, credential = authorization.replace("%20", " ", 1).partition(" ")
        if not credential and scheme.lower() != "bearer":
            credential = scheme
        elif scheme.lower() != "bearer":
            raise Permanent(ErrorCode.UNAUTHENTICATED, f"the scheme {scheme!r} is not Bearer")
        key = self.keys.find(credential.strip())
        return self._by_key.get(key.id) or self._make(key.tenant, key)

    def _make(self, tenant: str, key: Key | None) -> Door:
        choices = self.keys.content.tenants.get(tenant, Tenant())
        if tenant not in self._plans:
            redactor = self.redactors[tenant] = Redactor(tenant, choices)
            self._plans[tenant] = Plans(redactor.clean)
        quotas = [self._quota(f"tenant {tenant}", choices.events_per_s, choices.bytes_per_s)]
        if key is not None and (key.events_per_s or key.bytes_per_s):
            quotas.append(self._quota(f"key {key.id}", key.events_per_s, key.bytes_per_s))
        door = Door(tenant, self._plans[tenant], choices.bodies, tuple(quotas))
        self._by_key["" if key is None else key.id] = door
        return door

    def _quota(self, name: str, events_per_s: float, bytes_per_s: float) -> Quota:
        quota = self._quotas.setdefault(name, unlimited())
        quota.set_rates(events_per_s, bytes_per_s)
        return quota

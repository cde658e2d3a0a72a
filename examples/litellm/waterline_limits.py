"""Budgets of Waterline, held by LiteLLM's proxy: asks `GET /v1/limits` before a request goes out, and refuses it with 429 when a
budget of its key, its team or the tenant is used up.

Put this file beside the proxy's config.yaml, and name it there (README.md has the whole):

    litellm_settings:
      callbacks: [waterline_limits.limits]

WATERLINE_URL      the collector; http://127.0.0.1:4318
WATERLINE_KEY      an API key of the tenant; not needed on the collector's own machine
WATERLINE_DENY_MS  how long an answer is believed, 500

When the collector does not answer in time the request goes out: a budget is no reason to stand still.
"""

import os
import time
from typing import Any

import httpx
from fastapi import HTTPException
from litellm.integrations.custom_logger import CustomLogger

URL = os.environ.get("WATERLINE_URL", "http://127.0.0.1:4318")
KEY = os.environ.get("WATERLINE_KEY", "")
BELIEVED_S = float(os.environ.get("WATERLINE_DENY_MS", "500")) / 1000
TIMEOUT_S = 0.5


class Limits(CustomLogger):
    def __init__(self) -> None:
        super().__init__()
        headers = {"Authorization": f"Bearer {KEY}"} if KEY else {}
        self.http = httpx.AsyncClient(base_url=URL, headers=headers, timeout=TIMEOUT_S)
        self.known: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}

    async def async_pre_call_hook(self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str) -> None:
        """Raises HTTPException(429) where a budget is used up."""
        key = user_api_key_dict.key_alias or user_api_key_dict.token or ""
        team = user_api_key_dict.team_alias or user_api_key_dict.team_id or ""
        told = await self.ask(key, team)
        if told.get("verdict") == "deny":
            limit = told["limits"][0]
            about = f"{limit['scope']} {limit.get('name', '')}".strip()
            detail = f"the budget {limit['budget']} of {about} is used up: {limit['spent']} of {limit['limit']} USD"
            raise HTTPException(429, {"error": detail})

    async def ask(self, key: str, team: str) -> dict[str, Any]:
        """What the collector says, or said a moment ago; empty when it does not answer."""
        at, told = self.known.get((key, team), (0.0, {}))
        if time.monotonic() - at < BELIEVED_S:
            return told
        names = {name: value for name, value in (("key", key), ("team", team)) if value}
        try:
            reply = await self.http.get("/v1/limits", params=names)
            told = reply.raise_for_status().json()
        except httpx.HTTPError:
            told = {}
        self.known[key, team] = time.monotonic(), told
        return told


limits = Limits()

"""
What tests of settings give, and what they get when it makes no sense.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from kf_provider.errors import SettingsError
from kf_provider.keyfactor.answers import Request
from kf_provider.keyfactor.settings import Settings, load_settings

BASIC = {"hostname": "kf.example.com", "username": "jsmith", "password": "canary-5be1"}


def profile_file(folder: Path, content: object) -> Path:
    """The profile file where Keyfactor's tools look for it."""
    path = folder / ".keyfactor" / "command_config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def refusal(config: Mapping[str, object] | None = None, /, **explicit: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(config, **explicit)
    assert "canary-5be1" not in f"{caught.value} {caught.value!r} {caught.value.__cause__}"
    return str(caught.value)


def authorization_of(settings: Settings) -> str:
    """The header of the first request that these settings' credentials send."""
    credentials = settings.credential_kind.credentials(settings)
    flow = credentials.auth_flow(Request("GET", "https://kf.example.com"), time_left=lambda: 5.0)
    return next(flow).headers["Authorization"]

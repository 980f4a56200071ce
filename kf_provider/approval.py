"""
The provider of approval records: what runs in the plugin's process.

An unchanged stack checks and compares here, and nothing more: until a server must be asked, neither requests nor
pydantic is imported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final
from uuid import uuid4

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    Config,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

from .errors import NotApprovedError, SettingsError
from .keyfactor.addresses import is_same_server
from .keyfactor.sources import former_servers, server_address
from .keyfactor.values import is_same
from .results import Evidence
from .sdk import show_our_errors_in_one_line

# The outcomes of a wait that say nothing about the instance itself: what was recorded before stays approved.
EXCUSED: Final = frozenset({"pending", "unknown", "not_found", "unreachable", "forbidden", "settings", "off"})


_GUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class ApprovalRecordProvider(ResourceProvider):
    """
    Judges and records approvals. Its dotted name is in every state file: it is never renamed or moved.
    """

    serialize_as_secret_always = False

    _config: Config

    def configure(self, req: ConfigureRequest) -> None:
        self._config = req.config  # read at need: delete and refresh must work without any settings
        show_our_errors_in_one_line()

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """
        Refuse what has a problem, unless the same approval was recorded before and the problem says nothing about it.

        Sends nothing: checks run one by one.
        """
        # olds are inputs, and {} for a new record. With an unknown id, `problem` is an Unknown.
        problem, outcome = news.pop("problem", None), news.pop("outcome", None)
        is_recorded = isinstance(olds.get("instance_id"), str)
        if is_recorded and not changes(olds, news, former=self._former_servers):
            if "server" in olds:
                news["server"] = olds["server"]  # the evidence's: under a new name, or without settings, it stays
            is_refused = isinstance(problem, str) and outcome not in EXCUSED
            return _refused(news, problem) if is_refused else CheckResult(news, [])
        if isinstance(problem, str):
            return _refused(news, problem + _renamed(olds, news))
        difference = self._difference(news.get("server"))
        return _refused(news, difference) if difference else CheckResult(news, [])

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """
        Another instance, expectation or server is another approval, recorded in the old one's place.

        Not a replacement: there is nothing to protect, to keep or to delete, and what the server does not confirm
        leaves the old evidence as it is.
        """
        # olds are outputs, news are inputs (provider.proto, DiffRequest).
        return DiffResult(changes=bool(changes(olds, news, former=self._former_servers)))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """
        Ask the server itself, whatever the program says, and record the evidence of the approval; never the data.
        """
        return CreateResult(str(uuid4()), self._evidence(props))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """
        The same for another approval; the old evidence is kept until the new one is verified, and then its date alone.
        """
        evidence = self._evidence(news)
        if isinstance(date := olds.get("last_modified"), str):
            now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            evidence["replaces"] = {"last_modified": date, "recorded_at": now}
        return UpdateResult(evidence)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """
        The record as it is: an approval is a historical fact, also when its instance is gone.
        """
        return ReadResult(id_, props)

    def _evidence(self, props: Mapping[str, Any]) -> dict[str, Any]:
        from .keyfactor.client import client_for
        from .keyfactor.models import Instance, parse_instance_id, state_digest
        from .provider import plugin_settings
        from .waiting.verdict import Conditions
        from .waiting.verify import verify

        client = client_for(plugin_settings(self._config))
        instance_id = parse_instance_id(props.get("instance_id"))
        expect = props.get("expect") or {}
        conditions = Conditions(
            expect=expect, follow_restarts=bool(props.get("follow_restarts")), max_age=props.get("max_age")
        )
        verdict = verify(client, instance_id, conditions)
        approved = verdict.instance
        if not verdict.is_approved or not isinstance(approved, Instance):
            is_secret = props.get("is_secret") is True
            raise NotApprovedError(without_ids(verdict.text) if is_secret else verdict.text)
        evidence = {
            **approved.outputs(),
            "instance_id": instance_id,
            "approved_instance_id": approved.instance_id,
            "lineage": [*verdict.lineage],
            "expect": expect,
            "server": client.settings.server,
            "state_digest": state_digest(approved.current_state_data),
        }
        return {name: evidence[name] for name in Evidence.__annotations__}

    def _difference(self, asked: object) -> str | None:
        """
        Why this process would not ask the server that the program asks, in one line.
        """
        if not isinstance(asked, str) or (self._server is not None and is_same_server(self._server, asked)):
            return None
        own = f"asks {self._server}" if self._server else "knows no server"
        return (
            f"the program asks {asked}, but the provider's own process {own}: settings that a program makes for itself "
            f"(os.environ, a .env file) do not reach it; give them with `pulumi config set keyfactor:...`, in the "
            f"environment of the CLI, or to a kf.Provider"
        )

    @cached_property
    def _server(self) -> str | None:
        try:
            return server_address(self._settings_given)
        except SettingsError:
            return None

    @cached_property
    def _former_servers(self) -> tuple[str, ...]:
        try:
            return former_servers(self._settings_given)
        except SettingsError:
            return ()  # the program is told

    @property
    def _settings_given(self) -> dict[str, object]:
        given = {key: self._config.get(f"keyfactor:{key}") for key in ("hostname", "apiPath", "formerServers")}
        return {key: value for key, value in given.items() if value is not None}


def changes(olds: Mapping[str, Any], news: Mapping[str, Any], *, former: Sequence[str] = ()) -> list[str]:
    """
    What makes it another approval than the one that was recorded: `instance_id`, `expect`, `server`.

    `former` are addresses that the server had before. A record without an address is from before they were compared,
    and a program without one found no settings: both are no difference.
    """
    changed = []
    if olds.get("instance_id") != news.get("instance_id"):
        changed.append("instance_id")
    if not is_same(olds.get("expect") or {}, news.get("expect") or {}):
        changed.append("expect")
    recorded, asked = olds.get("server"), news.get("server")
    is_known = recorded is not None and asked is not None
    if is_known and not any(is_same_server(recorded, address) for address in (asked, *former)):
        changed.append("server")
    return changed


def without_ids(text: str, *, gate: str = "this gate") -> str:
    """
    The text without the ids of instances, where one is secret.
    """
    text = re.sub(rf"\Aworkflow instance {_GUID}", f"the workflow instance of {gate}", text)
    return re.sub(_GUID, "[secret]", text)


def _refused(news: dict[str, Any], text: str) -> CheckResult:
    return CheckResult(news, [CheckFailure("", text)])  # never a property's name: the engine would print its value


def _renamed(olds: Mapping[str, Any], news: Mapping[str, Any]) -> str:
    """
    What to do where the server alone is another one than recorded.
    """
    if changes(olds, news) != ["server"]:
        return ""
    return (
        f"; the approval was recorded on {olds['server']}, and this run asks {news['server']}: if that is the same "
        f"server under a new name, add the old one to keyfactor:formerServers or KEYFACTOR_FORMER_SERVERS"
    )

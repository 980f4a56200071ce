"""
The provider of approval records: what runs in the plugin's process.

An unchanged stack checks and compares here, and nothing more: until a server must be asked, neither requests nor
pydantic is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    Config,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
)

from .errors import NotApprovedError
from .results import Evidence


class ApprovalRecordProvider(ResourceProvider):
    """
    Judges and records approvals. Its dotted name is in every state file: it is never renamed or moved.
    """

    serialize_as_secret_always = False

    _config: Config

    def configure(self, req: ConfigureRequest) -> None:
        self._config = req.config  # read at need: delete and refresh must work without any settings

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """
        Refuse what has a problem, unless the same approval was recorded before. Sends nothing: checks run one by one.
        """
        # olds are inputs, and {} in the second check of a replacement. With an unknown id, `problem` is an Unknown.
        problem = news.pop("problem", None)
        if isinstance(problem, str) and not (isinstance(olds.get("instance_id"), str) and not changes(olds, news)):
            # Never a property's name: the engine would print its value.
            return CheckResult(news, [CheckFailure("", problem)])
        return CheckResult(news, [])

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """
        Another instance or another expectation is another approval; the old record goes after the new one is made.
        """
        # olds are outputs, news are inputs (provider.proto, DiffRequest).
        replaces = changes(olds, news)
        return DiffResult(changes=bool(replaces), replaces=replaces, delete_before_replace=False)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """
        Ask the server itself, whatever the program says, and record the evidence of the approval; never the data.
        """
        from .keyfactor.client import client_for
        from .keyfactor.models import Instance, parse_instance_id, state_digest
        from .provider import plugin_settings
        from .waiting.verify import verify

        client = client_for(plugin_settings(self._config))
        instance_id = parse_instance_id(props.get("instance_id"))
        expect = props.get("expect") or {}
        verdict = verify(client, instance_id, expect=expect, follow_restarts=bool(props.get("follow_restarts")))
        approved = verdict.instance
        if not verdict.is_approved or not isinstance(approved, Instance):
            raise NotApprovedError(verdict.text)
        evidence = {
            **approved.outputs(),
            "instance_id": instance_id,
            "approved_instance_id": approved.instance_id,
            "lineage": [*verdict.lineage],
            "expect": expect,
            "server": client.settings.server,
            "state_digest": state_digest(approved.current_state_data),
        }
        return CreateResult(instance_id, {name: evidence[name] for name in Evidence.__annotations__})

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """
        The record as it is: an approval is a historical fact, also when its instance is gone.
        """
        return ReadResult(id_, props)


def changes(olds: Mapping[str, Any], news: Mapping[str, Any]) -> list[str]:
    """
    What makes it another approval than the one that was recorded.
    """
    changed = []
    if olds.get("instance_id") != news.get("instance_id"):
        changed.append("instance_id")
    if (olds.get("expect") or {}) != (news.get("expect") or {}):
        changed.append("expect")
    return changed

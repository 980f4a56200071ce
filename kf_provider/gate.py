"""
WorkflowApproval: the gate, as it runs in the program. The program waits, the provider judges, the state records.

The gate is a component. Its child, the ApprovalRecord, registers only when the wait is over: so what depends on the
gate waits for it, while no worker of the engine and no thread of the plugin is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from inspect import get_annotations, isawaitable
from typing import Any, Final

import pulumi
import pulumi.runtime
from pulumi.dynamic import Resource
from pulumi.output import UNKNOWN, contains_unknowns

from .approval import ApprovalRecordProvider, changes, without_ids
from .durations import duration_seconds, spoken
from .ending import ending
from .errors import InstanceIdError, KeyfactorError, SettingsError
from .keyfactor.matching import checked_expectations, differing, lacking
from .keyfactor.models import InstanceSummary, Status, moment, parse_instance_id
from .keyfactor.settings import Settings
from .provider import Provider, invalid, is_mocked, own_provider, resolve_server, resolve_settings
from .results import Evidence
from .sdk import item, make_properties_light, on_demand
from .waiting.verdict import Conditions, expires_at, expiry
from .waiting.watcher import watcher_for

TYPE: Final = "keyfactor:index:WorkflowApproval"
RECORD_TYPE: Final = "pulumi-python:dynamic/keyfactor:ApprovalRecord"

# What the record is registered with: what identifies the approval, and what the provider's check judges.
_ASKED: Final = ("instance_id", "expect", "follow_restarts", "max_age", "is_secret", "approved_instance_id", "lineage")
_FOUND: Final = ("server", "problem", "outcome")
_OUTPUTS: Final = (*Evidence.__annotations__, "replaces")

DEFAULT_TIMEOUT_SECONDS: Final = 3600.0
PREVIEW_TIMEOUT_SECONDS: Final = 10.0


class ApprovalRecord(Resource, Evidence, module="keyfactor", name="ApprovalRecord"):
    """
    The record of an approval in the stack's state, made when the gate opens.
    """

    replaces: pulumi.Output[Mapping[str, str] | None]  # when the approval before this one was given

    def __init__(
        self,
        name: str,
        decision: pulumi.Output[dict[str, Any]],
        asked: Mapping[str, Any] | None,
        *,
        opts: pulumi.ResourceOptions,
    ) -> None:
        """
        `asked` is what is known of the decision at once: a plain input is no output, and no task.
        """
        inputs = {key: value for key, value in (asked or {}).items() if value is not None}
        for key in (*(() if asked else _ASKED), *_FOUND):
            inputs[key] = item(decision, key)
        make_properties_light(ApprovalRecord)
        super().__init__(ApprovalRecordProvider(), name, {**dict.fromkeys(_OUTPUTS), **inputs}, opts)
        self._registered_urn = self.urn
        if not is_mocked():
            self._guard(name, decision)
        self._is_depended_on = False

    @property
    def urn(self) -> pulumi.Output[str]:
        """
        The URN, which the SDK reads of each resource that another one depends on, in whatever way.
        """
        self._is_depended_on = True
        return super().urn

    @property
    def is_depended_on(self) -> bool:
        """
        Whether a resource that has been registered so far depends on this one.
        """
        return self._is_depended_on

    @property
    def registered_urn(self) -> pulumi.Output[str]:
        """
        The URN as soon as the record is registered, before the guard has looked.
        """
        return self._registered_urn

    def _guard(self, name: str, decision: pulumi.Output[dict[str, Any]]) -> None:
        """
        Let nobody use the record but in a run whose record is the one that the program asks for.

        `--target` and `--exclude` leave the record out of a run, and `ignore_changes` keeps an old one. And let nobody
        use one that is too old, also where nothing could be asked: by its own date, in preview too. The guard
        stands before each output, and before the URN, which the SDK awaits for whatever depends on a resource: so it
        needs no second row in the CLI's table.
        """
        outputs = {key: getattr(self, key) for key in ("status", "instance_id", "expect", "server", "last_modified")}

        async def compare() -> bool:
            recorded = {key: await _value(output) for key, output in outputs.items()}
            wanted = await _value(decision)
            is_preview, is_unknown = pulumi.runtime.is_dry_run(), contains_unknowns([recorded, wanted])
            if is_preview and (is_unknown or recorded["status"] is None):
                return True  # nothing is recorded yet, and nothing is done
            if is_unknown:
                raise pulumi.RunError(
                    f"approval {name!r}: this run left its record out, so what depends on it was not touched; run "
                    f"`pulumi up` without --target and --exclude, or add the record to them (`destroy` and `refresh`: "
                    f"run them without --run-program)"
                )
            if recorded["status"] is None or changes(recorded, wanted, former=wanted["former_servers"]):
                if is_preview:
                    return True  # as above
                raise pulumi.RunError(_left_out(name, recorded, wanted))
            if expired := expiry(recorded["last_modified"], wanted["max_age"], now=wanted["answered_at"]):
                instance = "its instance" if wanted["is_secret"] else f"workflow instance {recorded['instance_id']}"
                raise pulumi.RunError(f"approval {name!r}: {instance} {expired}")
            return True

        # Of the URN, which is never secret: nothing of a secret id is in a truth value, and a secret URN would be none.
        guard: pulumi.Output[bool] = self._registered_urn.apply(lambda _: compare())
        for output in ("urn", *Evidence.__annotations__):
            self.__dict__[output] = on_demand(partial(_after, guard, self.__dict__[output]))


async def _value(output: pulumi.Output[Any]) -> Any:
    return await output.future(with_unknowns=True) if await output.is_known() else UNKNOWN


def _after(guard: pulumi.Output[bool], value: pulumi.Output[Any]) -> pulumi.Output[Any]:
    return guard.apply(lambda _: value)


def _left_out(name: str, recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """
    Why the record in the stack is not the one that the program asks for.
    """
    text = f"the record in this stack is for {recorded['instance_id']}, not for {wanted['instance_id']}"
    if recorded["instance_id"] == wanted["instance_id"]:
        is_moved = changes(recorded, wanted, former=wanted["former_servers"]) == ["server"]
        text += f" on {wanted['server']}" if is_moved else " with what is expected of it now"
    if wanted["is_secret"]:
        text = "the record in this stack is for another approval"
    return f"approval {name!r}: {text}: it was left out of this run, or ignore_changes or a transform keeps it"


class _GateOutputs(Evidence):
    """
    And what the gate adds. Not in the gate's own class: the SDK reads the types there again for each gate.
    """

    expires_at: pulumi.Output[str | None]


class WorkflowApproval(pulumi.ComponentResource, _GateOutputs):
    """
    Hold back what depends on this until a workflow instance is approved, that is Complete.

    `depends_on=[approval]`, `parent=approval` and any use of its outputs wait. A rejected, failed or unknown instance
    ends the run with one line, in preview before anything is changed; preview never waits. The approval is recorded in
    the state with its evidence, and opens the gate for ever, unless `max_age` ends it: bind it with `expect`, or pass a
    new id for each change.

    | status | the gate |
    |---|---|
    | Complete | opens; ends the run when that is longer ago than `max_age` |
    | Running, Suspended | waits, until `timeout` |
    | Rejected, Failed | ends the run |
    | CanceledForRestart | ends the run; with `follow_restarts` waits for the successor |
    | anything else | ends the run |

    Outputs: those of `Evidence`, and `expires_at`: until when the approval is valid, in ISO 8601; None without
    `max_age`.
    """

    def __init__(
        self,
        name: str,
        instance_id: pulumi.Input[str],
        *,
        timeout: str | float | timedelta | None = None,
        expect: Mapping[str, pulumi.Input[Any]] | None = None,
        max_age: str | float | timedelta | None = None,
        follow_restarts: bool = False,
        wait: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """
        :param name: the name of this gate in the stack
        :param instance_id: the GUID of the workflow instance, for example from the enrollment's answer
        :param timeout: how long to wait: seconds, `"90m"`, `"8h"`, `"PT8H"` or a timedelta; 1 hour unless given
        :param expect: what the approved instance must be, by dotted path: `{"current_state_data.Subject": "CN=..."}`
        :param max_age: how long an approval is valid, from the instance's last change on: `"30d"`, seconds or a
            timedelta; a recorded one too, also while nothing can be asked; for ever unless given
        :param follow_restarts: go on with the one successor of an instance that was restarted in Keyfactor
        :param wait: False makes a pending instance a problem at once
        :param opts: `provider` chooses another server

        Raises InvalidArgumentError, a ValueError that the CLI shows as one line, for an id, a duration or an
        expectation that makes no sense.
        """
        opts = opts or pulumi.ResourceOptions()
        if timeout is None and opts.custom_timeouts is not None:
            timeout = opts.custom_timeouts.create
        try:
            if not _is_later(instance_id):
                instance_id = parse_instance_id(instance_id)
            self._timeout = DEFAULT_TIMEOUT_SECONDS if timeout is None else duration_seconds(timeout)
            self._max_age = None if max_age is None else duration_seconds(max_age)
            self._expect = _checked_expectations({} if expect is None else expect)
        except ValueError as error:
            raise invalid(f"WorkflowApproval {name!r}", error) from error
        self._follow_restarts = follow_restarts
        self._wait = wait
        self._is_built = self._hides_id = False
        super().__init__(
            TYPE,
            name,
            {},
            pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(transformations=[self._hold_descendants])),
        )
        # At once: a program may raise before the first wait has begun.
        self._ending = None if is_mocked() else ending()
        self._explicit_provider: Provider | None = own_provider(self.get_provider(RECORD_TYPE))
        self._id_output = pulumi.Output.from_input(instance_id)
        decision: pulumi.Output[dict[str, Any]]
        asked = None
        if _is_plain([instance_id, self._expect]):
            asked = self._asked(instance_id, self._expect)
            decision = self._id_output.apply(lambda known: self._decide(known, self._expect))
        else:
            both: pulumi.Output[list[Any]] = pulumi.Output.all(self._id_output, self._expect)
            decision = both.apply(lambda known: self._decide(*known))
        self._record = ApprovalRecord(name, decision, asked, opts=pulumi.ResourceOptions(parent=self))
        self._is_built = True
        for output in Evidence.__annotations__:
            self.__dict__[output] = getattr(self._record, output)
        self.expires_at = on_demand(lambda: self.last_modified.apply(lambda date: expires_at(date, self._max_age)))
        if self._ending is not None and pulumi.runtime.is_dry_run():
            self._ending.when_all_is_registered(self._tell_when_nothing_waits)
        begun = datetime.now(UTC)

        async def registered(_urn: str) -> None:
            # Only now, so that the row's clock runs while the gate waits; and no outputs: an unknown among them is
            # written into the state as a literal GUID.
            self.register_outputs({})
            if self._ending is not None and not pulumi.runtime.is_dry_run():
                await self._tell_what_is_replaced(begun)

        _registered: pulumi.Output[None] = self._record.registered_urn.apply(registered)

    def _tell_when_nothing_waits(self) -> None:
        if not self._record.is_depended_on:
            # Of no row: that is sent at once, and this is called in another thread.
            pulumi.log.info(
                f"no resource waits for gate {self.pulumi_resource_name!r}: write depends_on=[gate] in the options of "
                f"each one that must wait"
            )

    async def _tell_what_is_replaced(self, begun: datetime) -> None:
        """
        Say that this run has recorded a newer approval in an older one's place.
        """
        replaced = await self._record.replaces.future()
        # It stays in the state, and is news in the run that recorded it.
        if replaced and (moment(replaced["recorded_at"]) or begun) > begun:
            date = await self.last_modified.future()
            pulumi.log.info(f"approved on {date}, replaces the approval of {replaced['last_modified']}", resource=self)

    def _hold_descendants(self, args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        """
        Make every descendant but the record wait: a resource depends on its parent's registration only.
        """
        if not self._is_built:
            return None
        return pulumi.ResourceTransformationResult(
            args.props,
            pulumi.ResourceOptions.merge(args.opts, pulumi.ResourceOptions(depends_on=[self._record])),
        )

    def _asked(self, instance_id: Any, expect: Mapping[str, Any]) -> dict[str, Any]:
        """
        What is to be approved.
        """
        return {
            "instance_id": instance_id,
            "expect": dict(expect),
            "follow_restarts": self._follow_restarts or None,
            "max_age": self._max_age,
        }

    async def _decide(self, instance_id: Any, expect: Mapping[str, Any]) -> dict[str, Any]:
        """
        What the record is registered with: what is to be approved, and the problem that the provider's check judges.
        """
        decision = {
            **dict.fromkeys((*_ASKED, *_FOUND)),
            **self._asked(instance_id, expect),
            "former_servers": (),
            "answered_at": None,
        }
        if is_mocked():
            return decision
        self._hides_id = await self._id_output.is_secret()
        try:
            decision["expect"] = _checked_expectations(expect)
        except ValueError as error:
            # No problem for the provider: recorded without it, the gate would expect less than the program says. And no
            # ValueError, which the SDK catches and shows as one of its own, with a traceback.
            raise pulumi.RunError(f"WorkflowApproval {self.pulumi_resource_name!r}: {error}") from error
        try:
            decision["instance_id"] = parse_instance_id(instance_id)
            settings = await resolve_settings(self._explicit_provider)
        except InstanceIdError as error:
            text = "its secret instance id is not the id of a workflow instance" if self._hides_id else str(error)
            return decision | {"problem": text, "outcome": "settings"}
        except KeyfactorError as error:
            return decision | await self._without_settings(error)
        if self._hides_id:
            # Outputs are secret where an input of the same name is.
            made = UNKNOWN if pulumi.runtime.is_dry_run() else decision["instance_id"]
            decision |= {"is_secret": True, "approved_instance_id": made, "lineage": [made]}
        if settings is None:  # the provider is not known in this preview
            return decision | {"server": UNKNOWN}
        decision |= {"server": settings.server, "former_servers": settings.former_servers}
        if settings.gates == "off":
            pulumi.log.warn(
                "gates are off (keyfactor:gates, KEYFACTOR_GATES): nothing is asked, and what is recorded opens",
                resource=self,
            )
            return decision | {"problem": _GATES_ARE_OFF, "outcome": "off"}
        try:
            return decision | await self._watch(decision, settings)
        except SettingsError as error:  # a CA or a token that cannot be used is found when the client is made
            return decision | await self._without_settings(error)

    async def _without_settings(self, error: KeyfactorError) -> dict[str, str | None]:
        """
        What a record is excused with when settings are missing or cannot be used: that of another server is not, so the
        server is told as far as it is known; and where it makes no sense, nothing is excused.
        """
        try:
            server = await resolve_server(self._explicit_provider)
        except KeyfactorError:
            return {"problem": str(error), "outcome": None}
        pulumi.log.warn(f"nothing is asked, and what is recorded opens: {error}", resource=self)
        return {"problem": str(error), "outcome": "settings", "server": server}

    async def _watch(self, decision: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
        """
        Wait as long as this run may, and say what is wrong; nothing when the instance is approved.
        """
        is_preview = pulumi.runtime.is_dry_run()
        may_wait = settings.gates == "wait" and self._wait is not False
        timeout = self._timeout if may_wait and not is_preview else 0.0
        waiting = watcher_for(settings).wait(
            decision["instance_id"],
            Conditions(expect=decision["expect"], follow_restarts=self._follow_restarts, max_age=self._max_age),
            timeout=timeout,
            may_be_new=timeout > 0 and bool(await self._id_output.resources()),
            request_timeout=min(settings.request_timeout, PREVIEW_TIMEOUT_SECONDS) if is_preview else None,
            report=self._report,
            first_seen=partial(self._foretell, decision["expect"]),
        )
        verdict = await (self._ending.unless_ended(waiting) if self._ending else waiting)
        if verdict.is_approved:
            # The clock by which the guard judges the record's age as well.
            return {"answered_at": verdict.instance.answered_at if verdict.instance else None}
        if verdict.is_pending and is_preview and may_wait:
            # Not ephemeral: the row is gone when the preview is over, and this is what there is to know.
            pulumi.log.info(f"{verdict.standing}; the update will wait", resource=self)
            return {}
        text = verdict.text
        if verdict.is_pending and may_wait:
            text += (
                f" after {spoken(self._timeout)}; nothing was lost: run `pulumi up` again to go on waiting, or give "
                f"the gate a longer timeout"
            )
        elif verdict.is_pending:
            why = "wait=False" if self._wait is False else "keyfactor:gates=check"
            text += f", and this gate does not wait ({why}); run the update again when it is approved"
        return {"problem": self._shown(text), "outcome": verdict.outcome}

    def _report(self, text: str) -> None:
        pulumi.log.info(self._shown(text), resource=self, ephemeral=True)

    def _shown(self, text: str) -> str:
        return without_ids(text, gate=f"gate {self.pulumi_resource_name!r}") if self._hides_id else text

    def _foretell(self, expect: Mapping[str, Any], instance: InstanceSummary) -> None:
        """
        Say what a pending instance would be refused for, before people have approved it.
        """
        if texts := differing(instance, expect):
            pulumi.log.warn(
                f"the instance is not what is expected: {'; '.join(texts)}. When it is Complete, this gate will refuse "
                f"it, unless a later step changes that",
                resource=self,
            )
        if paths := lacking(instance, expect):
            pulumi.log.info(
                f"expects {', '.join(paths)}, which the instance does not have yet: a later step may add it",
                resource=self,
            )


_GATES_ARE_OFF: Final = (
    "gates are off (keyfactor:gates, KEYFACTOR_GATES), and this approval is not recorded: what depends on it is not "
    "touched; run again with keyfactor:gates=wait"
)


def _is_later(value: object) -> bool:
    return isinstance(value, pulumi.Output) or isawaitable(value)


def _is_plain(value: object) -> bool:
    """
    Whether nothing in it is known later.
    """
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    return all(map(_is_plain, value)) if isinstance(value, list) else not _is_later(value)


def _checked_expectations(expect: object) -> dict[str, Any]:
    """
    What is expected, as JSON has it. Raises ValueError for what no instance can ever have.
    """
    checked = checked_expectations(expect, is_later=_is_later)
    status = checked.get("status")
    if isinstance(status, str) and status != Status.COMPLETE:
        raise ValueError("expects a status other than Complete, and the gate opens at no other; leave it out")
    return checked


# The SDK reads a class's own types again for each resource of it; of these alone it makes what JSON does not have.
_TYPES: Final = get_annotations(Evidence, eval_str=True)
ApprovalRecord.__annotations__ = {output: _TYPES[output] for output in ("reference_id", "definition")}

"""
The workflow machine: what Keyfactor Command does with an instance.

    start ──> Running ──> Suspended ──(every signal approved)──> Running ──> Complete
                 │            │  └──(one denial, or stop)──────────────────> Rejected
                 └────────────┴──(a step fails)────────────────────────────> Failed
    restart (from Suspended or Failed): the old instance is CanceledForRestart, a new one runs from the beginning

Source: keyfactor-api.md, sections 3, 4 and 8. Which approver may answer twice, and that one denial rejects at once, no
source tells: see the Limitations in README.md.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

# What scripts and REST steps may put into an instance: any JSON object.
StateData = dict[str, Any]

APPROVAL_SIGNAL: Final = "ApprovalStatus"
DAILY_JOB: Final = timedelta(days=1)


class WorkflowError(Exception):
    """
    The machine refuses; nothing has changed.
    """


class InstanceNotFoundError(WorkflowError):
    """
    No instance has this id, or it was deleted.
    """


class DefinitionNotFoundError(WorkflowError):
    """
    No definition has this id, or not in this version.
    """


class WrongStatusError(WorkflowError):
    """
    The instance's status does not allow this.
    """


class NotAwaitedError(WorkflowError):
    """
    The step where the instance is suspended does not wait for this signal.
    """


class NotAllowedError(WorkflowError):
    """
    The signal is for roles that the sender does not hold, or the sender has answered already.
    """


class Status(StrEnum):
    """
    The documented statuses of an instance.
    """

    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"
    REJECTED = "Rejected"
    CANCELED_FOR_RESTART = "CanceledForRestart"


ENDED: Final = frozenset({Status.COMPLETE, Status.FAILED, Status.REJECTED, Status.CANCELED_FOR_RESTART})


@dataclass(frozen=True)
class Step:
    """
    One step of a definition; a step with `approvals` suspends the instance until so many people approve.
    """

    id: UUID
    display_name: str
    unique_name: str
    extension_name: str
    approvals: int = 0
    role_ids: frozenset[int] = frozenset()


@dataclass(frozen=True)
class DefinitionVersion:
    """
    One version of a workflow definition: its steps in the order in which they run. The last waits for nobody.
    """

    id: UUID
    display_name: str
    workflow_type: str
    version: int
    steps: tuple[Step, ...]
    key: str | None = None
    key_display_name: str | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if not self.steps or self.steps[-1].approvals:
            raise ValueError(f"the last step of {self.display_name!r} must be one that ends the workflow")

    def after(self, step: Step) -> Step:
        """
        The step that follows `step`.
        """
        return self.steps[self.steps.index(step) + 1]


@dataclass(frozen=True)
class Person:
    """
    Who sends a signal: a user name and the security roles it holds.
    """

    name: str
    role_ids: frozenset[int] = frozenset()


@dataclass
class InstanceSignal:
    """
    One answer that a suspended instance waits for, or has received.
    """

    signal_name: str
    step_signal_id: UUID
    received: bool = False
    denied: bool = False
    sender: str | None = None
    comment: str = ""


@dataclass(frozen=True)
class HistoryEntry:
    """
    One line of an instance's history, for people.
    """

    time: datetime
    text: str


@dataclass
class Instance:
    """
    A workflow instance. `initial_data` and `current_state_data` may hold secrets.
    """

    id: UUID
    reference_id: int
    definition: DefinitionVersion
    title: str
    initiated_by: str
    start_date: datetime
    last_modified: datetime
    initial_data: StateData = field(repr=False)
    current_state_data: StateData = field(repr=False)
    step: Step
    status: Status = Status.RUNNING
    status_message: str = ""
    signals: list[InstanceSignal] = field(default_factory=list)
    history: list[HistoryEntry] = field(default_factory=list)
    successor_id: UUID | None = None
    held: bool = False

    @property
    def has_ended(self) -> bool:
        """
        Whether the instance can only change by a restart, or not at all.
        """
        return self.status in ENDED

    @property
    def received(self) -> int:
        """
        How many signals of the current step have been received.
        """
        return sum(signal.received for signal in self.signals)

    def awaits(self, person: Person) -> bool:
        """
        Whether the instance is assigned to `person`: suspended, at a step of their role, and not answered by them.
        """
        return (
            self.status is Status.SUSPENDED
            and not self.step.role_ids.isdisjoint(person.role_ids)
            and any(not signal.received for signal in self.signals)
            and all(signal.sender != person.name for signal in self.signals)
        )


class WorkflowMachine:
    """
    All definitions and instances of one server. Not thread-safe: the caller holds a lock.

    Everything raises a `WorkflowError` and changes nothing when Keyfactor would refuse. Instances are returned as they
    are, not copied: read them only.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], UUID] = uuid4,
        finish: Callable[[Step, Instance], Mapping[str, Any]] = lambda _step, _instance: {},
    ) -> None:
        """
        `finish` does what a step does beside the workflow, and returns what it adds to the state data.
        """
        self._now = now
        self._new_id = new_id
        self._finish = finish
        self._instances: dict[UUID, Instance] = {}
        self._definitions: dict[UUID, list[DefinitionVersion]] = {}
        self._earlier: dict[UUID, Instance] = {}
        self._stalled_since: dict[UUID, datetime] = {}
        self._last_reference_id = 0

    # Definitions

    def publish(self, definition: DefinitionVersion) -> DefinitionVersion:
        """
        Add a definition, or a higher version of one: the version that new instances run.
        """
        versions = self._definitions.setdefault(definition.id, [])
        if versions and definition.version <= versions[-1].version:
            raise WorkflowError(f"version {versions[-1].version} of {definition.display_name} is published already")
        versions.append(definition)
        return definition

    @property
    def definitions(self) -> list[DefinitionVersion]:
        """
        The published version of every definition, oldest definition first.
        """
        return [versions[-1] for versions in self._definitions.values()]

    def definition(self, definition_id: UUID, version: int | None = None) -> DefinitionVersion:
        """
        A definition in one version, or in its published one.
        """
        versions = self._definitions.get(definition_id, [])
        if version is None and versions:
            return versions[-1]
        for definition in versions:
            if definition.version == version:
                return definition
        raise DefinitionNotFoundError(f"no workflow definition {definition_id} in version {version or 'published'}")

    # Instances

    @property
    def instances(self) -> list[Instance]:
        """
        Every instance, oldest first.
        """
        self._run_daily_job()
        return list(self._instances.values())

    def instance(self, instance_id: UUID) -> Instance:
        """
        The instance of this id.
        """
        self._run_daily_job()
        try:
            return self._instances[instance_id]
        except KeyError:
            raise InstanceNotFoundError(f"no workflow instance {instance_id}") from None

    def earlier(self, instance_id: UUID) -> Instance:
        """
        The instance as it was before its last change: what a replica that is late would show.
        """
        return self._earlier.get(instance_id) or self.instance(instance_id)

    def start(
        self,
        definition: DefinitionVersion,
        *,
        title: str,
        initiated_by: str,
        initial_data: StateData,
        held: bool = False,
    ) -> Instance:
        """
        Start an instance and run it up to its first approval, or to its end.

        A `held` instance stays Running at its first step until `proceed`.
        """
        now = self._now()
        self._last_reference_id += 1
        first = definition.steps[0]
        instance = Instance(
            id=self._new_id(),
            reference_id=self._last_reference_id,
            definition=definition,
            title=title,
            initiated_by=initiated_by,
            start_date=now,
            last_modified=now,
            initial_data=copy.deepcopy(initial_data),
            current_state_data=copy.deepcopy(initial_data),
            step=first,
            held=held,
        )
        self._instances[instance.id] = instance
        instance.history.append(HistoryEntry(now, f"started by {initiated_by}"))
        if not held:
            self._run(instance, first)
        return instance

    def proceed(self, instance_id: UUID) -> Instance:
        """
        Let a held instance go on.
        """
        instance = self.instance(instance_id)
        if not instance.held or instance.status is not Status.RUNNING:
            raise WrongStatusError(f"workflow instance {instance_id} is not held")
        self._keep_earlier(instance)
        instance.held = False
        self._run(instance, instance.step)
        return instance

    def signal(
        self,
        instance_id: UUID,
        *,
        signal_key: str,
        approved: bool,
        comment: str,
        sender: Person,
        stall: bool = False,
    ) -> Instance:
        """
        Give one answer at the step where the instance is suspended; one denial rejects it.

        `signal_key` is the step's unique name, a dot, and the signal's name. With `stall` the last answer is stored but
        the instance stays Suspended until the daily job, as two answers at the same moment may do.
        """
        instance = self.instance(instance_id)
        if instance.status is not Status.SUSPENDED:
            raise WrongStatusError(
                f"workflow instance {instance_id} is {instance.status}: only Suspended accepts signals"
            )
        unique_name, _, signal_name = signal_key.partition(".")
        slot = next((s for s in instance.signals if s.signal_name == signal_name and not s.received), None)
        if unique_name != instance.step.unique_name or slot is None:
            raise NotAwaitedError(f"workflow instance {instance_id} does not wait for the signal {signal_key!r}")
        if not instance.awaits(sender):
            raise NotAllowedError(
                f"{sender.name} may not send the signal {signal_key!r} to workflow instance {instance_id}"
            )
        self._keep_earlier(instance)
        slot.received, slot.denied, slot.sender, slot.comment = True, not approved, sender.name, comment
        answers: list[StateData] = instance.current_state_data.setdefault(signal_key, [])
        answers.append({"Approved": str(approved), "Comment": comment, "UserName": sender.name})
        self._note(
            instance, f"{'approved' if approved else 'denied'} by {sender.name}" + f": {comment}" * bool(comment)
        )
        if not approved:
            self._end(instance, Status.REJECTED, comment or f"denied by {sender.name}")
        elif all(s.received for s in instance.signals):
            if stall:
                self._stalled_since[instance_id] = self._now()
            else:
                self._leave_step(instance)
        return instance

    def complete(self, instance_id: UUID) -> Instance:
        """
        Take the instance to its end as if everything had been approved.
        """
        instance = self.instance(instance_id)
        if instance.has_ended:
            raise WrongStatusError(f"workflow instance {instance_id} is {instance.status} already")
        self._keep_earlier(instance)
        if instance.status is Status.RUNNING:
            instance.held = False
            self._run(instance, instance.step)
        while not instance.has_ended:
            self._leave_step(instance)
        return instance

    def fail(self, instance_id: UUID, message: str) -> Instance:
        """
        End the instance as if its current step had failed.
        """
        instance = self.instance(instance_id)
        if instance.has_ended:
            raise WrongStatusError(f"workflow instance {instance_id} is {instance.status} already")
        self._keep_earlier(instance)
        self._end(instance, Status.FAILED, message)
        return instance

    def stop(self, instance_id: UUID, *, by: str) -> Instance:
        """
        Reject a suspended instance.
        """
        instance = self.instance(instance_id)
        if instance.status is not Status.SUSPENDED:
            raise WrongStatusError(
                f"workflow instance {instance_id} is {instance.status}: only Suspended can be stopped"
            )
        self._keep_earlier(instance)
        self._end(instance, Status.REJECTED, f"stopped by {by}")
        return instance

    def restart(self, instance_id: UUID, *, by: str, version: int | None = None) -> Instance:
        """
        Cancel a suspended or failed instance and return the new one that runs from the beginning, under a new id.
        """
        instance = self.instance(instance_id)
        if instance.status not in {Status.SUSPENDED, Status.FAILED}:
            raise WrongStatusError(
                f"workflow instance {instance_id} is {instance.status}: only Suspended and Failed can be restarted"
            )
        definition = self.definition(instance.definition.id, version)
        self._keep_earlier(instance)
        self._end(instance, Status.CANCELED_FOR_RESTART, f"restarted by {by}")
        successor = self.start(
            definition,
            title=instance.title,
            initiated_by=instance.initiated_by,
            initial_data=instance.initial_data,
        )
        instance.successor_id = successor.id
        return successor

    def delete(self, instance_id: UUID) -> None:
        """
        Forget the instance: purged by an administrator.
        """
        self.instance(instance_id)
        del self._instances[instance_id]
        self._earlier.pop(instance_id, None)
        self._stalled_since.pop(instance_id, None)

    # How an instance moves

    def _run(self, instance: Instance, step: Step) -> None:
        """
        Execute `step` and those after it, until one waits for people or the last is done.
        """
        while True:
            instance.step = step
            if step.approvals:
                instance.status = Status.SUSPENDED
                instance.signals = [InstanceSignal(APPROVAL_SIGNAL, self._new_id()) for _ in range(step.approvals)]
                self._note(instance, f"waits at {step.display_name!r}")
                return
            instance.status, instance.signals = Status.RUNNING, []
            instance.current_state_data.update(self._finish(step, instance))
            if step is instance.definition.steps[-1]:
                self._end(instance, Status.COMPLETE, "")
                return
            self._note(instance, f"passed {step.display_name!r}")
            step = instance.definition.after(step)

    def _leave_step(self, instance: Instance) -> None:
        self._stalled_since.pop(instance.id, None)
        self._run(instance, instance.definition.after(instance.step))

    def _end(self, instance: Instance, status: Status, message: str) -> None:
        instance.status, instance.status_message = status, message
        self._stalled_since.pop(instance.id, None)
        self._note(instance, f"{status}" + f": {message}" * bool(message))

    def _note(self, instance: Instance, text: str) -> None:
        instance.last_modified = max(self._now(), instance.last_modified)
        instance.history.append(HistoryEntry(instance.last_modified, text))

    def _keep_earlier(self, instance: Instance) -> None:
        # Definition and steps are frozen and shared; the data below them is copied only as deep as it changes.
        earlier = copy.copy(instance)
        earlier.current_state_data = copy.deepcopy(instance.current_state_data)
        earlier.signals = [copy.copy(signal) for signal in instance.signals]
        earlier.history = list(instance.history)
        self._earlier[instance.id] = earlier

    def _run_daily_job(self) -> None:
        """
        Move on what has stalled, a day after it did.

        Source: keyfactor-api.md, section 4: two simultaneous signals are both stored, but the instance may not advance
        until a daily job retries.
        """
        for instance_id, since in list(self._stalled_since.items()):
            if self._now() - since >= DAILY_JOB:
                instance = self._instances[instance_id]
                self._keep_earlier(instance)
                self._leave_step(instance)


def next_approver(instance: Instance) -> Person:
    """
    Somebody who may answer next at the instance's step: the n-th approver for the n-th signal.
    """
    return Person(f"KEYEXAMPLE\\approver{instance.received + 1}", instance.step.role_ids)

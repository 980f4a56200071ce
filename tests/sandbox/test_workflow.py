"""
The workflow machine against a plain model, as hypothesis plays with both.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from kf_provider.sandbox.definitions import ApprovalStep, workflow_definition
from kf_provider.sandbox.workflow import (
    DefinitionNotFoundError,
    DefinitionVersion,
    Instance,
    InstanceNotFoundError,
    NotAllowedError,
    NotAwaitedError,
    Person,
    Status,
    Step,
    WorkflowError,
    WorkflowMachine,
    WrongStatusError,
    next_approver,
)

ENDED = {"Complete", "Failed", "Rejected", "CanceledForRestart"}
KEY = "RequireApproval{}.ApprovalStatus"


class Expected:
    """
    What the model remembers of an instance: which step waits, who answered there, and the status, as plain values.
    """

    def __init__(self, approvals: list[int], status: str, definition_id: UUID) -> None:
        self.approvals = approvals
        self.definition_id = definition_id
        self.stage = 0
        self.senders: list[str] = []
        self.status = status
        self.stalled_at: datetime | None = None

    def run_to_stage(self, stage: int) -> None:
        self.stage, self.senders, self.stalled_at = stage, [], None
        self.status = "Suspended" if stage < len(self.approvals) else "Complete"


class Machine(RuleBasedStateMachine):
    """
    Every action is tried on every instance, whatever its status: the model says whether it must be refused.
    """

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.machine = WorkflowMachine(now=lambda: self.now)
        self.expected: dict[UUID, Expected] = {}
        self.deleted: set[UUID] = set()
        self.last_modified: dict[UUID, datetime] = {}

    @initialize(target=ids)
    def begin(self) -> UUID:
        self.definitions: dict[tuple[int, ...], DefinitionVersion] = {}
        return self.start_with([2, 1], held=False)

    @rule(target=ids, approvals=st.lists(st.integers(1, 3), max_size=2), held=st.booleans())
    def start(self, approvals: list[int], held: bool) -> UUID:
        return self.start_with(approvals, held=held)

    def start_with(self, approvals: list[int], *, held: bool) -> UUID:
        definition = self.definition(tuple(approvals))
        instance = self.machine.start(definition, title="t", initiated_by="me", initial_data={"a": [1]}, held=held)
        expected = Expected(approvals, "Running", definition.id)
        if not held:
            expected.run_to_stage(0)
        self.expected[instance.id] = expected
        return instance.id

    @rule(
        instance_id=ids,
        who=st.sampled_from(["ann", "bob", "cyd"]),
        approved=st.sampled_from([True, True, True, False]),
        ahead=st.sampled_from([0, 0, 0, 1]),
        role=st.sampled_from([2, 2, 2, 3]),
        stall=st.booleans(),
    )
    def signal(self, instance_id: UUID, who: str, approved: bool, ahead: int, role: int, stall: bool) -> None:
        expected = self.model(instance_id)
        stage = ahead + 1 + (expected.stage if expected else 0)
        error: type[WorkflowError] | None = None
        if expected is None:
            error = InstanceNotFoundError
        elif expected.status != "Suspended":
            error = WrongStatusError
        elif ahead or expected.stalled_at is not None:
            error = NotAwaitedError
        elif role != 2 or who in expected.senders:
            error = NotAllowedError
        self.refused(
            error,
            lambda: self.machine.signal(
                instance_id,
                signal_key=KEY.format(stage),
                approved=approved,
                comment="",
                sender=Person(who, frozenset({role})),
                stall=stall,
            ),
        )
        if error is not None or expected is None:
            return
        expected.senders.append(who)
        if not approved:
            expected.status = "Rejected"
        elif len(expected.senders) == expected.approvals[expected.stage]:
            if stall:
                expected.stalled_at = self.now
            else:
                expected.run_to_stage(expected.stage + 1)

    @rule(instance_id=ids)
    def proceed(self, instance_id: UUID) -> None:
        expected = self.act(instance_id, {"Running"}, lambda: self.machine.proceed(instance_id))
        if expected is not None:
            expected.run_to_stage(0)

    @rule(instance_id=ids)
    def complete(self, instance_id: UUID) -> None:
        expected = self.act(instance_id, {"Running", "Suspended"}, lambda: self.machine.complete(instance_id))
        if expected is not None:
            expected.run_to_stage(len(expected.approvals))

    @rule(instance_id=ids)
    def fail(self, instance_id: UUID) -> None:
        expected = self.act(instance_id, {"Running", "Suspended"}, lambda: self.machine.fail(instance_id, "broken"))
        if expected is not None:
            expected.status, expected.stalled_at = "Failed", None

    @rule(instance_id=ids)
    def stop(self, instance_id: UUID) -> None:
        expected = self.act(instance_id, {"Suspended"}, lambda: self.machine.stop(instance_id, by="me"))
        if expected is not None:
            expected.status, expected.stalled_at = "Rejected", None

    @rule(target=ids, instance_id=ids)
    def restart(self, instance_id: UUID) -> UUID:
        successors: list[Instance] = []
        expected = self.act(
            instance_id,
            {"Suspended", "Failed"},
            lambda: successors.append(self.machine.restart(instance_id, by="me")),
        )
        if expected is None:
            return instance_id
        expected.status, expected.stalled_at = "CanceledForRestart", None
        successor = Expected(expected.approvals, "Running", expected.definition_id)
        successor.run_to_stage(0)
        self.expected[successors[0].id] = successor
        return successors[0].id

    @rule(instance_id=consumes(ids))
    def delete(self, instance_id: UUID) -> None:
        if self.model(instance_id) is not None:
            self.machine.delete(instance_id)
            del self.expected[instance_id]
            self.deleted.add(instance_id)

    @rule(hours=st.sampled_from([1, 23, 24]))
    def let_time_pass(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        for expected in self.expected.values():
            if expected.stalled_at is not None and self.now - expected.stalled_at >= timedelta(days=1):
                expected.run_to_stage(expected.stage + 1)

    @invariant()
    def agrees_with_the_model(self) -> None:
        assert {instance.id for instance in self.machine.instances} == set(self.expected)
        for instance_id, expected in self.expected.items():
            instance = self.machine.instance(instance_id)
            assert instance.status == expected.status
            assert instance.has_ended == (expected.status in ENDED)
            assert instance.initial_data == {"a": [1]}
            if expected.status == "Suspended":
                assert instance.step.unique_name == f"RequireApproval{expected.stage + 1}"
                assert len(instance.signals) == expected.approvals[expected.stage]
                assert [s.sender for s in instance.signals if s.received] == expected.senders
                assert instance.awaits(Person("eve", frozenset({2}))) == (expected.stalled_at is None)

    @invariant()
    def last_modified_never_goes_back(self) -> None:
        for instance in self.machine.instances:
            assert instance.last_modified >= self.last_modified.get(instance.id, instance.start_date)
            assert self.machine.earlier(instance.id).last_modified <= instance.last_modified
            self.last_modified[instance.id] = instance.last_modified

    @invariant()
    def reference_ids_are_unique(self) -> None:
        references = [instance.reference_id for instance in self.machine.instances]
        assert len(set(references)) == len(references)

    def model(self, instance_id: UUID) -> Expected | None:
        return self.expected.get(instance_id)

    def act(self, instance_id: UUID, allowed: set[str], action: object) -> Expected | None:
        """
        Do it; the model's instance when it was allowed, None when it had to be refused.
        """
        expected = self.model(instance_id)
        if expected is None:
            self.refused(InstanceNotFoundError, action)
            return None
        if expected.status not in allowed:
            self.refused(WrongStatusError, action)
            return None
        self.refused(None, action)
        return expected

    @staticmethod
    def refused(error: type[WorkflowError] | None, action: object) -> None:
        assert callable(action)
        if error is None:
            action()
        else:
            with pytest.raises(error):
                action()

    def definition(self, approvals: tuple[int, ...]) -> DefinitionVersion:
        if approvals not in self.definitions:
            steps = [ApprovalStep(approvals=count) for count in approvals]
            self.definitions[approvals] = self.machine.publish(
                workflow_definition("d", workflow_type="Enrollment", approval_steps=steps, new_id=uuid4)
            )
        return self.definitions[approvals]


# 250 plays of at most 50 steps: more than 10,000.
TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=250, stateful_step_count=50)


def machine() -> WorkflowMachine:
    return WorkflowMachine(now=lambda: datetime(2026, 1, 1, tzinfo=UTC))


def definition(version: int = 1, definition_id: UUID | None = None) -> DefinitionVersion:
    return workflow_definition(
        f"version {version}",
        workflow_type="Enrollment",
        approval_steps=[ApprovalStep()],
        new_id=uuid4,
        definition_id=definition_id,
        version=version,
    )


def test_restart_runs_the_published_version() -> None:
    """
    A restart takes the version that is published now, or the one that is asked for.
    """
    workflows = machine()
    first = workflows.publish(definition())
    instance = workflows.start(first, title="t", initiated_by="me", initial_data={})
    workflows.publish(definition(2, first.id))

    second = workflows.restart(instance.id, by="me")
    third = workflows.restart(second.id, by="me", version=1)

    assert [i.definition.version for i in (instance, second, third)] == [1, 2, 1]
    with pytest.raises(DefinitionNotFoundError):
        workflows.restart(third.id, by="me", version=3)
    assert third.status is Status.SUSPENDED


def test_publish_needs_a_higher_version() -> None:
    """
    A published version does not change.
    """
    workflows = machine()
    first = workflows.publish(definition())

    with pytest.raises(WorkflowError):
        workflows.publish(definition(1, first.id))


def test_last_step_ends_the_workflow() -> None:
    """
    A definition that would wait for ever is refused.
    """
    waiting = Step(uuid4(), "Wait", "RequireApproval1", "RequireApproval", approvals=1)

    for steps in ((), (waiting,)):
        with pytest.raises(ValueError, match="ends the workflow"):
            DefinitionVersion(uuid4(), "d", "Enrollment", 1, steps)


def test_next_approver_is_always_somebody_new() -> None:
    """
    The n-th approval comes from the n-th person.
    """
    workflows = machine()
    three = workflow_definition(
        "d", workflow_type="Enrollment", approval_steps=[ApprovalStep(approvals=3)], new_id=uuid4
    )
    instance = workflows.start(workflows.publish(three), title="t", initiated_by="me", initial_data={})

    for _ in range(3):
        workflows.signal(
            instance.id, signal_key=KEY.format(1), approved=True, comment="", sender=next_approver(instance)
        )

    assert instance.status is Status.COMPLETE


def test_daily_job_after_a_purge() -> None:
    """
    An instance that stalled and was deleted does not trouble the daily job.
    """
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    workflows = WorkflowMachine(now=lambda: now[0])
    instance = workflows.start(workflows.publish(definition()), title="t", initiated_by="me", initial_data={})
    workflows.signal(
        instance.id,
        signal_key=KEY.format(1),
        approved=True,
        comment="",
        sender=next_approver(instance),
        stall=True,
    )
    workflows.delete(instance.id)

    now[0] += timedelta(days=1)

    assert workflows.instances == []

"""
Everything one sandbox holds in memory, and the lock around it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from uuid import UUID

from .accounts import DEFAULT_CLIENT_ID, DEFAULT_USERNAME, Accounts
from .clock import VirtualClock
from .definitions import ApprovalStep, enrollment_data, enrollment_title, workflow_definition
from .faults import Faults
from .journal import Journal
from .wire import Wire
from .workflow import APPROVAL_SIGNAL, Definition, Instance, StateData, WorkflowMachine, next_approver

DEFAULT_TEMPLATE = "WebServer"


class SandboxState:
    """
    Clock, machine, accounts, faults and journal of one sandbox.

    Hold `lock` around everything but the journal, which has its own.
    """

    def __init__(self, *, seed: int, wire: Wire, product_version: str) -> None:
        self.lock = threading.RLock()
        self.wire = wire
        self.product_version = product_version
        self.clock = VirtualClock()
        self.accounts = Accounts(now=self.clock.now)
        self.owner = self.accounts.add(DEFAULT_USERNAME, client_id=DEFAULT_CLIENT_ID)
        self.faults = Faults(seed)
        self.journal = Journal(now=self.clock.now)
        self._start_again()

    def reset(self) -> None:
        """
        Forget instances, tokens, faults, journal and skipped time; accounts stay, and ids are given out as at first.
        """
        with self.lock:
            self.clock.reset()
            self.faults.clear()
            self.accounts.revoke_tokens()
            self.journal.clear()
            self._start_again()

    def start_enrollment(
        self,
        subject: str,
        approval_steps: Sequence[ApprovalStep],
        *,
        template: str = DEFAULT_TEMPLATE,
        initiated_by: str | None = None,
        state_data: StateData | None = None,
        held: bool = False,
    ) -> Instance:
        """
        Start an enrolment that needs these approvals.
        """
        initiated_by = initiated_by or self.owner.username
        return self.machine.start(
            self._enrollment_definition(tuple(approval_steps)),
            title=enrollment_title(initiated_by, subject),
            initiated_by=initiated_by,
            initial_data=enrollment_data(subject, template=template) | (state_data or {}),
            held=held,
        )

    def answer(self, instance_id: UUID, *, approved: bool, comment: str) -> Instance:
        """
        Approve or deny at the step where the instance is, as somebody who may.
        """
        instance = self.machine.instance(instance_id)
        return self.machine.signal(
            instance_id,
            signal_key=f"{instance.step.unique_name}.{APPROVAL_SIGNAL}",
            approved=approved,
            comment=comment,
            sender=next_approver(instance),
        )

    def new_id(self) -> UUID:
        """
        The next GUID; they depend on the seed alone, so that a run can be repeated.
        """
        return UUID(int=self._random.getrandbits(128), version=4)

    def _start_again(self) -> None:
        self._random = random.Random(self.faults.seed)  # noqa: S311 - must be repeatable, and protects nothing
        self._enrollment_definitions: dict[tuple[ApprovalStep, ...], Definition] = {}
        self.machine = WorkflowMachine(now=self.clock.now, new_id=self.new_id)

    def _enrollment_definition(self, steps: tuple[ApprovalStep, ...]) -> Definition:
        if steps not in self._enrollment_definitions:
            needed = " + ".join(str(step.approvals) for step in steps)
            self._enrollment_definitions[steps] = self.machine.publish(
                workflow_definition(
                    f"Enrollment with {needed} approvals" if steps else "Global Enrollment",
                    workflow_type="Enrollment",
                    approval_steps=steps,
                    new_id=self.new_id,
                )
            )
        return self._enrollment_definitions[steps]

"""
Everything one sandbox holds in memory, and the lock around it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from .accounts import DEFAULT_CLIENT_ID, DEFAULT_USERNAME, Account, Accounts, ClientProof, Permission
from .clock import VirtualClock
from .definitions import (
    ApprovalStep,
    enrollment_data,
    enrollment_title,
    revocation_data,
    revocation_title,
    workflow_definition,
)
from .faults import Faults
from .issuance import CertificateAuthority
from .journal import Journal
from .windows_login import WindowsLogin
from .wire import Wire
from .workflow import (
    APPROVAL_SIGNAL,
    DefinitionVersion,
    Instance,
    InstanceNotFoundError,
    Person,
    StateData,
    Step,
    WorkflowMachine,
    next_approver,
)

DEFAULT_TEMPLATE: Final = "WebServer"
CACHE_TIME: Final = timedelta(minutes=1)
Answer = TypeVar("Answer")
ONE_APPROVAL: Final = (ApprovalStep(),)


class SandboxState:
    """
    Clock, machine, accounts, faults and journal of one sandbox.

    Hold `lock` around everything but the journal, which has its own.
    """

    def __init__(
        self, *, seed: int, wire: Wire, proof: ClientProof = ClientProof.ANY, windows: WindowsLogin | None = None
    ) -> None:
        self.lock = threading.RLock()
        self.wire = wire
        self.proof = proof
        self.windows = windows
        self.clock = VirtualClock()
        self.accounts = Accounts(now=self.clock.now)
        self.default_account = self.accounts.add(DEFAULT_USERNAME, client_id=DEFAULT_CLIENT_ID)
        self.faults = Faults(seed)
        self._seed = seed
        self.journal = Journal(now=self.clock.now)
        self._start_again()

    def reset(self) -> None:
        """
        Forget instances, certificates, tokens, faults, journal and skipped time; accounts stay, and ids are given out
        as at first.
        """
        with self.lock:
            self.clock.reset()
            self.faults.clear()
            self.accounts.revoke_tokens()
            self.journal.clear()
            self._start_again()

    def add_account(self, username: str, *, permissions: Iterable[Permission], role_ids: Iterable[int]) -> Account:
        """
        Another account, with credentials of its own; its OAuth client is called as the user, without the domain.
        """
        return self.accounts.add(
            username,
            client_id=username.rpartition("\\")[2],
            permissions=frozenset(permissions),
            role_ids=frozenset(role_ids),
        )

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
        Start an enrollment that needs these approvals.
        """
        initiated_by = initiated_by or self.default_account.username
        return self.machine.start(
            self._enrollment_definition(tuple(approval_steps)),
            title=enrollment_title(initiated_by, subject),
            initiated_by=initiated_by,
            initial_data=enrollment_data(subject, template=template) | (state_data or {}),
            held=held,
        )

    def start_global_enrollment(self, initial_data: StateData, *, initiated_by: str) -> Instance:
        """
        Start the enrollment that a call of the API asks for: the Global Enrollment workflow, with one approval.
        """
        return self.machine.start(
            self._enrollment_definition(ONE_APPROVAL),
            title=enrollment_title(initiated_by, initial_data["Subject"]),
            initiated_by=initiated_by,
            initial_data=initial_data,
        )

    def start_revocation(self, certificate_id: int, *, reason: int, comment: str, initiated_by: str) -> Instance:
        """
        Start the revocation of a certificate: the Global Revocation workflow, with one approval.
        """
        return self.machine.start(
            self._global_revocation,
            title=revocation_title(initiated_by, certificate_id),
            initiated_by=initiated_by,
            initial_data=revocation_data(
                certificate_id, reason=reason, comment=comment, effective_date=self.clock.now()
            ),
        )

    def signal_as_approver(self, instance_id: UUID, *, approved: bool, comment: str) -> Instance:
        """
        Approve or deny at the step where the instance is, as somebody who may.
        """
        instance = self.machine.instance(instance_id)
        return self.signal(
            instance_id,
            signal_key=f"{instance.step.unique_name}.{APPROVAL_SIGNAL}",
            approved=approved,
            comment=comment,
            sender=next_approver(instance),
        )

    def signal(self, instance_id: UUID, *, signal_key: str, approved: bool, comment: str, sender: Person) -> Instance:
        """
        Give an answer; the last one may stall, if a fault wants it.
        """
        instance = self.machine.instance(instance_id)
        is_last = approved and instance.received == len(instance.signals) - 1
        return self.machine.signal(
            instance_id,
            signal_key=signal_key,
            approved=approved,
            comment=comment,
            sender=sender,
            stall=is_last and self.faults.draw_stall(instance_id),
        )

    def has_ended(self, instance_id: UUID | None) -> bool:
        """
        Whether there is such an instance, and it has ended.
        """
        try:
            return instance_id is not None and self.machine.instance(instance_id).has_ended
        except InstanceNotFoundError:
            return False

    def new_id(self) -> UUID:
        """
        The next GUID; they depend on the seed alone, so that a run can be repeated.
        """
        return UUID(int=self._random.getrandbits(128), version=4)

    def _start_again(self) -> None:
        self._random = random.Random(self._seed)  # noqa: S311 - must be repeatable, and protects nothing
        self.authority = CertificateAuthority(self._seed, now=self.clock.now)
        self.machine = WorkflowMachine(now=self.clock.now, new_id=self.new_id, finish=self._finish)
        self._cache: dict[str, tuple[datetime, Any]] = {}
        self._enrollment_definitions: dict[tuple[ApprovalStep, ...], DefinitionVersion] = {}
        self._enrollment_definition(ONE_APPROVAL)
        self._global_revocation = self.machine.publish(
            workflow_definition(
                "Global Revocation", workflow_type="Revocation", approval_steps=ONE_APPROVAL, new_id=self.new_id
            )
        )

    def cached(self, key: str, answer: Answer) -> Answer:
        """
        The answer that was given to the same before, no longer than a minute ago; else this one.
        """
        now = self.clock.now()
        if key not in self._cache or self._cache[key][0] + CACHE_TIME < now:
            self._cache[key] = now, answer
        kept: Answer = self._cache[key][1]
        return kept

    def _finish(self, step: Step, instance: Instance) -> StateData:
        match step.extension_name:
            case "EnrollStep":
                return self.authority.issue(instance)
            case "RevokeStep":
                self.authority.revoke(instance.initial_data["CertificateId"])
                return {"OperationStart": instance.last_modified.isoformat()}
        return {}

    def _enrollment_definition(self, steps: tuple[ApprovalStep, ...]) -> DefinitionVersion:
        if steps not in self._enrollment_definitions:
            needed = " + ".join(str(step.approvals) for step in steps) or "no"
            name = "Global Enrollment" if steps == ONE_APPROVAL else f"Enrollment with {needed} approvals"
            self._enrollment_definitions[steps] = self.machine.publish(
                workflow_definition(name, workflow_type="Enrollment", approval_steps=steps, new_id=self.new_id)
            )
        return self._enrollment_definitions[steps]

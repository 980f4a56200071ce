"""
What goes over the wire: instances as Keyfactor writes them.

Source: keyfactor-api.md, sections 2, 3 and 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from .query import FieldTypes, Value
from .workflow import Definition, Instance, Signal, Status

Json = dict[str, Any]

# Invented: every specification says that Status is a number from 0 to 6, and none says which is which.
INVENTED_NUMBERS: Final[Mapping[Status, int]] = {
    Status.RUNNING: 0,
    Status.SUSPENDED: 1,
    Status.COMPLETE: 2,
    Status.FAILED: 3,
    Status.REJECTED: 4,
    Status.CANCELED_FOR_RESTART: 5,
}

QUERY_FIELDS: Final[FieldTypes] = {
    "DefinitionId": str,
    "Id": str,
    "InitiatingUserName": str,
    "LastModified": datetime,
    "ReferenceId": int,
    "StartDate": datetime,
    "Status": str,
    "Title": str,
    "WorkflowType": str,
}


@dataclass(frozen=True)
class Wire:
    """
    One way of writing: `numbers` maps statuses to what is written instead of the word.
    """

    numbers: Mapping[Status, int] | None = None

    def status(self, status: Status) -> str | int:
        """
        A status as word or number.
        """
        return str(status) if self.numbers is None else self.numbers[status]

    def row(self, instance: Instance) -> Json:
        """
        An instance in a list: without signals and data.
        """
        return {
            "Id": str(instance.id),
            "Status": self.status(instance.status),
            "CurrentStepId": str(instance.step.id),
            "StatusMessage": instance.status_message,
            "Definition": self._definition(instance.definition),
            "CurrentStepDisplayName": instance.step.display_name,
            "CurrentStepUniqueName": instance.step.unique_name,
            "Title": instance.title,
            "LastModified": timestamp(instance.last_modified),
            "StartDate": timestamp(instance.start_date),
            "ReferenceId": instance.reference_id,
        }

    def instance(self, instance: Instance) -> Json:
        """
        An instance with everything.
        """
        return self.row(instance) | {
            "Signals": [self._signal(signal) for signal in instance.signals],
            "InitialData": instance.initial_data,
            "CurrentStateData": instance.current_state_data,
        }

    def query_fields(self, instance: Instance) -> Mapping[str, Value]:
        """
        What a query string can ask of an instance; a status by the word or number that this server writes.
        """
        return {
            "DefinitionId": str(instance.definition.id),
            "Id": str(instance.id),
            "InitiatingUserName": instance.initiated_by,
            "LastModified": instance.last_modified,
            "ReferenceId": instance.reference_id,
            "StartDate": instance.start_date,
            "Status": str(self.status(instance.status)),
            "Title": instance.title,
            "WorkflowType": instance.definition.workflow_type,
        }

    def _definition(self, definition: Definition) -> Json:
        return {
            "Id": str(definition.id),
            "DisplayName": definition.display_name,
            "Version": definition.version,
            "WorkflowType": definition.workflow_type,
        }

    def _signal(self, signal: Signal) -> Json:
        return {
            "SignalName": signal.signal_name,
            "StepSignalId": str(signal.step_signal_id),
            "SignalReceived": signal.received,
        }


def timestamp(moment: datetime) -> str:
    """
    A moment as .NET writes it: seven digits of a second, and Z.
    """
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0Z"


def parse_id(text: str) -> UUID | None:
    """
    The GUID that `text` is, with or without braces and hyphens, or None.
    """
    try:
        return UUID(text)
    except ValueError:
        return None

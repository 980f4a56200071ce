"""
What the functions and resources give to a program: output types, and how a server's answer becomes one.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Self

import pulumi


@pulumi.output_type
class Definition(dict[str, Any]):
    """
    The workflow definition that an instance runs.
    """

    id: str | None = pulumi.property("id")
    display_name: str | None = pulumi.property("display_name")
    version: int | None = pulumi.property("version")
    workflow_type: str | None = pulumi.property("workflow_type")


@pulumi.output_type
class Signal(dict[str, Any]):
    """
    An input that the current step waits for, or has received.
    """

    signal_name: str | None = pulumi.property("signal_name")
    step_signal_id: str | None = pulumi.property("step_signal_id")
    signal_received: bool = pulumi.property("signal_received")


@pulumi.output_type
class WorkflowInstanceSummary(dict[str, Any]):
    """
    A row of the list of instances: all but the signals and the state data, which the list does not have.

    `status` is Running, Suspended, Complete, Rejected, Failed or CanceledForRestart; a word of a later version, or a
    number in text where the server sends numbers that the setting `status_names` does not name.
    """

    instance_id: str = pulumi.property("instance_id")
    status: str | None = pulumi.property("status")
    status_message: str | None = pulumi.property("status_message")
    current_step_id: str | None = pulumi.property("current_step_id")
    current_step_display_name: str | None = pulumi.property("current_step_display_name")
    current_step_unique_name: str | None = pulumi.property("current_step_unique_name")
    title: str | None = pulumi.property("title")
    reference_id: int | None = pulumi.property("reference_id")
    start_date: str | None = pulumi.property("start_date")
    last_modified: str | None = pulumi.property("last_modified")
    definition: Definition | None = pulumi.property("definition")


class _NotTakenForAnAwaitable(type):
    """
    Lets `await` work on a result which `inspect.isawaitable` does not recognise.

    The SDK awaits what it is given to export. That flattens a dict whose fields are secret outputs into one secret, and
    with the data the status would be hidden.
    """

    @property
    def __mro__(cls) -> tuple[type, ...]:  # what collections.abc.Awaitable searches for `__await__`
        return tuple(base for base in type.mro(cls) if base is not _Awaitable)


class _Awaitable:
    def __await__(self) -> Generator[Any, None, Self]:
        # Awaitable, as the results of generated SDKs are.
        yield from ()
        return self


@pulumi.output_type
class GetWorkflowInstanceResult(dict[str, Any], _Awaitable, metaclass=_NotTakenForAnAwaitable):
    """
    A workflow instance, as Keyfactor Command answers it.

    `status` is Running, Suspended, Complete, Failed, Rejected or CanceledForRestart (a number in text where the server
    sends numbers and `status_names` does not name it). Dates are ISO 8601 in UTC. `initial_data` and
    `current_state_data` are secret outputs, always: scripts and REST steps put whole responses there.

    Source: Keyfactor Command Web API reference 10.3, GET Workflow Instances Instance ID, table 659.
    """

    # The fields of a summary again: an output type inherits none (`pulumi._types` reads the class's own).
    instance_id: str = pulumi.property("instance_id")
    status: str | None = pulumi.property("status")
    status_message: str | None = pulumi.property("status_message")
    current_step_id: str | None = pulumi.property("current_step_id")
    current_step_display_name: str | None = pulumi.property("current_step_display_name")
    current_step_unique_name: str | None = pulumi.property("current_step_unique_name")
    title: str | None = pulumi.property("title")
    reference_id: int | None = pulumi.property("reference_id")
    start_date: str | None = pulumi.property("start_date")
    last_modified: str | None = pulumi.property("last_modified")
    definition: Definition | None = pulumi.property("definition")
    signals: list[Signal] = pulumi.property("signals")
    initial_data: pulumi.Output[Mapping[str, Any]] = pulumi.property("initial_data")
    current_state_data: pulumi.Output[Mapping[str, Any]] = pulumi.property("current_state_data")


@pulumi.output_type
class SubjectAlternativeName(dict[str, Any]):
    """
    A subject alternative name of a certificate; `type` is Keyfactor's number for its kind.
    """

    type: int | None = pulumi.property("type")
    value: str | None = pulumi.property("value")


@pulumi.output_type
class GetCertificateResult(dict[str, Any], _Awaitable, metaclass=_NotTakenForAnAwaitable):
    """
    A certificate, as Keyfactor Command answers it.

    Dates are ISO 8601 in UTC; `thumbprint` (SHA-1) and `serial_number` are capital hexadecimal digits; `pem` is the
    certificate alone, without its chain, and without a private key. `metadata` is a secret output, always: people put
    there what they like.
    """

    certificate_id: int = pulumi.property("certificate_id")
    thumbprint: str | None = pulumi.property("thumbprint")
    serial_number: str | None = pulumi.property("serial_number")
    common_name: str | None = pulumi.property("common_name")
    subject: str | None = pulumi.property("subject")
    issuer: str | None = pulumi.property("issuer")
    not_before: str | None = pulumi.property("not_before")
    not_after: str | None = pulumi.property("not_after")
    state: str | None = pulumi.property("state")
    template_name: str | None = pulumi.property("template_name")
    request_id: int | None = pulumi.property("request_id")
    sans: list[SubjectAlternativeName] = pulumi.property("sans")
    metadata: pulumi.Output[Mapping[str, Any]] = pulumi.property("metadata")
    pem: str | None = pulumi.property("pem")


class Evidence:
    """
    The outputs of an approval: a record keeps them in the state, and its gate gives them to the program.

    `approved_instance_id` is that of the last successor after restarts, and `lineage` has the ids from `instance_id` to
    it. `state_digest` is the SHA-256, in hex, of the canonical CurrentStateData at the approval.
    """

    status: pulumi.Output[str]
    title: pulumi.Output[str | None]
    reference_id: pulumi.Output[int | None]
    definition: pulumi.Output[Definition | None]
    start_date: pulumi.Output[str | None]
    last_modified: pulumi.Output[str | None]
    instance_id: pulumi.Output[str]
    approved_instance_id: pulumi.Output[str]
    lineage: pulumi.Output[Sequence[str]]
    expect: pulumi.Output[Mapping[str, Any]]
    server: pulumi.Output[str]
    state_digest: pulumi.Output[str]


def instance_result(fields: Mapping[str, Any]) -> GetWorkflowInstanceResult:
    """
    The fields of an instance, by their names in this package, as a result with values of its own.
    """
    return GetWorkflowInstanceResult(
        **_summary_fields(fields),
        signals=[Signal(**signal) for signal in fields.get("signals") or []],
        initial_data=pulumi.Output.secret(fields.get("initial_data") or {}),
        current_state_data=pulumi.Output.secret(fields.get("current_state_data") or {}),
    )


def certificate_result(fields: Mapping[str, Any]) -> GetCertificateResult:
    """
    The same for a certificate.
    """
    known: dict[str, Any] = {name: fields.get(name) for name in GetCertificateResult.__annotations__}
    for name in ("certificate_id", "request_id"):
        if known[name] is not None:
            known[name] = int(known[name])  # every number is a float on the engine's wire
    names = [
        SubjectAlternativeName(**{key: name.get(key) for key in SubjectAlternativeName.__annotations__})
        for name in known["sans"] or []
    ]
    return GetCertificateResult(**{**known, "sans": names, "metadata": pulumi.Output.secret(known["metadata"] or {})})


def summary(fields: Mapping[str, Any]) -> WorkflowInstanceSummary:
    """
    A row of the list, in the same way.
    """
    return WorkflowInstanceSummary(**_summary_fields(fields))


def _summary_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: fields.get(name) for name in WorkflowInstanceSummary.__annotations__}
    if known["definition"] is not None:
        known["definition"] = Definition(**{name: known["definition"].get(name) for name in Definition.__annotations__})
    if known["reference_id"] is not None:
        known["reference_id"] = int(known["reference_id"])  # every number is a float on the engine's wire
    return known

"""
What an instance means for a gate: approved, pending, or a problem, and the words for it.

The gate in the program, the provider that verifies it, and the command line all judge by this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .models import Instance, InstanceSummary, Signal, Status, canonical_status

LONGEST_STEP: Final = 40  # characters of its name in a row
EXPECTABLE: Final = tuple(Instance.model_fields)

# What is kept where a value is missing: `None` itself is what a JSON null is read as.
_MISSING: Final = object()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """
    What is known of an approval. Approved when it is neither pending nor has a problem.

    `instance` may be a list's row where that was enough.
    `problem` stands alone, says what to do next, and holds no secret: it is shown, and appears in the engine's logs.
    """

    instance: InstanceSummary | None = None
    problem: str | None = None
    is_pending: bool = False

    @property
    def is_approved(self) -> bool:
        return self.problem is None and not self.is_pending


def judge(
    instance: InstanceSummary,
    *,
    expect: Mapping[str, object] | None = None,
    status_names: Mapping[int, str] | None = None,
) -> Verdict:
    """
    What the instance means for a gate that expects `expect` of it; `expect` needs the instance whole.

    Complete opens, Running and Suspended wait; every other status is a problem. A status number is read by
    `status_names` alone: no source maps the numbers, so none is guessed.

    Source: Keyfactor Command Web API reference 10.3, GET Workflow Instances Instance ID, table 659.
    """
    status = status_word(instance.status, status_names)
    where = f' at "{step}"' if (step := _step(instance)) else ""
    why = f": {instance.status_message[:200]}" if instance.status_message else ""
    match status:
        case Status.COMPLETE:
            unmet = unmet_expectation(instance, expect or {})
            return _problem(instance, unmet) if unmet else Verdict(instance=instance)
        case Status.RUNNING | Status.SUSPENDED:
            return Verdict(instance=instance, is_pending=True)
        case Status.REJECTED:
            return _problem(instance, f"{_rejection(instance)}{where}{why}; start a new request and pass its id")
        case Status.FAILED:
            return _problem(
                instance,
                f"is Failed{where}{why}; restart it in Keyfactor, or start a new request, and pass the new id",
            )
        case Status.CANCELED_FOR_RESTART:
            return _problem(
                instance,
                "was restarted in Keyfactor, and a restart gets a new id; pass that id, or set follow_restarts=True",
            )
        case _ if isinstance(instance.status, int) and status == str(instance.status):
            return _problem(
                instance,
                f"has the status number {status}, and no source says what it means; name it in keyfactor:statusNames "
                f'or KEYFACTOR_STATUS_NAMES, for example {{"{status}": "Complete"}}',
            )
        case None:
            return _problem(instance, "has no status; ask the administrators of Keyfactor Command what became of it")
        case _:
            return _problem(
                instance,
                f"has the status {status!r}, which is none of Keyfactor's; look at the instance in Keyfactor Command",
            )


def status_word(status: str | int | None, names: Mapping[int, str] | None) -> str | None:
    """
    The status as a word; a number that nothing names stays a number, in text.
    """
    if isinstance(status, int):
        return canonical_status((names or {}).get(status, str(status)))
    return status


def was_restarted(instance: InstanceSummary, status_names: Mapping[int, str] | None) -> bool:
    """
    Whether it was cancelled for a restart, so that another instance goes on in its place.
    """
    return status_word(instance.status, status_names) == Status.CANCELED_FOR_RESTART


def waits_for_people(instance: InstanceSummary, status_names: Mapping[int, str] | None) -> bool:
    """
    Whether it is suspended at a step that still lacks a signal.
    """
    is_open = any(not signal.signal_received for signal in _signals(instance))
    return is_open and status_word(instance.status, status_names) == Status.SUSPENDED


def progress(instance: InstanceSummary, status_names: Mapping[int, str] | None = None) -> str:
    """
    Where a pending instance stands, in one short line: `Suspended at "Manager approval", 1 of 2 signals`.
    """
    step = shortened(_step(instance) or "", LONGEST_STEP)
    status = status_word(instance.status, status_names)
    text = f'{status} at "{step}"' if step else str(status)
    signals = _signals(instance)
    wanted = len(signals)
    if not wanted:
        return text
    received = sum(signal.signal_received for signal in signals)
    if received == wanted and status == Status.SUSPENDED:
        # Two signals at the same moment can conflict: both are stored, and a daily job goes on (H:v12.2).
        return f"{text}, all signals received: Keyfactor moves it on, by its daily job at the latest"
    return f"{text}, {received} of {wanted} signals"


def shortened(text: str, longest: int) -> str:
    """
    The text in one line of at most so many characters.
    """
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def unmet_expectation(instance: InstanceSummary, expect: Mapping[str, object]) -> str | None:
    """
    Why the instance is not the one that is expected, or None when it is.

    `expect` maps dotted paths into the instance (`title`, `definition.display_name`, `current_state_data.Subject`) to
    values. Letters are compared with their case, numbers by value, and a value of another type never matches. The text
    names the path, and never a value: it may be secret.
    """
    fields = instance.outputs()
    for path, expected in expect.items():
        if expected is None:
            return f"is Complete, but the value expected of {path} is None; expect a value, or leave {path} out"
        found = _at(fields, path)
        if found is _MISSING:
            return f"is Complete, but has no {path}; the approval was given for something else, or the path is wrong"
        if not _same(found, expected):
            return f"is Complete, but its {path} is not the expected one; this approval was given for something else"
    return None


def _at(value: object, path: str) -> object:
    """
    The value at a dotted path. A key that has dots itself is found as well: the longest one that is there wins.
    """
    if not path:
        return value
    if isinstance(value, Mapping):
        parts = path.split(".")
        for size in range(len(parts), 0, -1):
            key, rest = ".".join(parts[:size]), ".".join(parts[size:])
            if key in value:
                return _at(value[key], rest)
    if isinstance(value, list):
        index, _, rest = path.partition(".")
        if index.isdecimal() and int(index) < len(value):
            return _at(value[int(index)], rest)
    return _MISSING


def _same(found: object, expected: object) -> bool:
    # True == 1 in Python, and every number is a float on the engine's wire.
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    if isinstance(expected, Mapping):
        return (
            isinstance(found, Mapping)
            and found.keys() == expected.keys()
            and all(_same(found[key], expected[key]) for key in expected)
        )
    if isinstance(expected, list | tuple):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(_same(one, other) for one, other in zip(found, expected, strict=True))
        )
    return found == expected


def _rejection(instance: InstanceSummary) -> str:
    # Both a denial and a stop leave Rejected. A denial is a signal that was received; the message is free text.
    signals = _signals(instance)
    if not signals:
        return "is Rejected"
    if any(signal.signal_received for signal in signals):
        return "is Rejected by an approver"
    return "is Rejected, stopped before anyone answered,"


def _signals(instance: InstanceSummary) -> tuple[Signal, ...]:
    return instance.signals if isinstance(instance, Instance) else ()


def _step(instance: InstanceSummary) -> str | None:
    return instance.current_step_display_name or instance.current_step_unique_name


def _problem(instance: InstanceSummary, text: str) -> Verdict:
    return Verdict(instance=instance, problem=f"workflow instance {instance.instance_id} {text}")

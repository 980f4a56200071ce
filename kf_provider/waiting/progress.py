"""
How a wait goes, as data: for whoever shows more of it than a line of text.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Progress:
    """
    What is known of a wait that goes on, after each of its polls; times are in seconds.

    `instance_id` is that of the instance that is waited for now, after restarts the last one. `status` and `step` are
    None until the server has shown it. `trouble` is what is wrong now, in a few words; `text` is where it stands, in
    one line, as the gate's row shows it.
    """

    instance_id: str
    status: str | None
    step: str | None
    signals_received: int
    signals_wanted: int
    approvers: tuple[str, ...]
    trouble: str | None
    waited: float
    time_left: float
    next_poll_in: float
    text: str

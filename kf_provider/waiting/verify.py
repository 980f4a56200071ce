"""
Asks the server itself about an approval that is to be recorded, where no event loop runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from .poller import Server
from .threads import RequestThreads
from .verdict import Verdict
from .watcher import Watcher

VERIFY_SECONDS: Final = 30.0


def verify(
    server: Server,
    instance_id: str,
    *,
    expect: Mapping[str, object],
    follow_restarts: bool,
    timeout: float = VERIFY_SECONDS,
) -> Verdict:
    """
    The verdict of a wait of its own, by the same rules as the program's; its instance is whole.

    What may pass is ridden out for 30 seconds; pending may be an answer from before the approval. Blocks. Raises
    nothing.
    """

    async def ask() -> Verdict:
        # Nothing else polls here, so nothing is gathered.
        watcher = Watcher(server, RequestThreads(), gather_seconds=0)
        return await watcher.wait(instance_id, timeout=timeout, expect=expect, follow_restarts=follow_restarts)

    return asyncio.run(ask())

"""
Sends a request as somebody: runs the flow of their credentials.
"""

from __future__ import annotations

from contextlib import closing
from typing import Protocol

from .answers import Answer, Request
from .credentials import Credentials


class Sender(Protocol):
    """
    What sends a single request, and knows the seconds until all must be over.
    """

    def send(self, request: Request) -> Answer: ...

    def seconds_left(self) -> float: ...


def authenticated(request: Request, credentials: Credentials, sender: Sender) -> Answer:
    """
    The answer to the request, sent as the credentials say. Raises what the sender raises, and what the flow does.
    """
    with closing(credentials.auth_flow(request, time_left=sender.seconds_left)) as flow:
        answer = sender.send(next(flow))
        while True:
            try:
                following = flow.send(answer)
            except StopIteration:
                return answer
            answer = sender.send(following)

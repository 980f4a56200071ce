"""
Sending a request as somebody.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kf_provider.errors import NoAnswerError
from kf_provider.keyfactor.answers import Answer, Request
from kf_provider.keyfactor.auth import authenticated
from kf_provider.keyfactor.credentials import AuthFlow, Credentials

REQUEST = Request("GET", "https://kf.example.com/Workflow")


class Server:
    """Answers with these status codes, or with none."""

    def __init__(self, *statuses: int) -> None:
        self.sent: list[Request] = []
        self._statuses = statuses

    def send(self, request: Request) -> Answer:
        self.sent.append(request)
        if len(self.sent) > len(self._statuses):
            raise NoAnswerError("the connection broke")
        return Answer(self._statuses[len(self.sent) - 1], {"WWW-Authenticate": f"leg {len(self.sent)}"}, b"")

    def seconds_left(self) -> float:
        return 7.0


class Legs(Credentials):
    """Credentials that answer what the server says, as Negotiate does."""

    secrets = ()

    def __init__(self) -> None:
        self.closed = False
        self.seconds = 0.0

    def auth_flow(self, request: Request, *, time_left: Callable[[], float]) -> AuthFlow:
        self.seconds = time_left()
        try:
            answer = yield request
            while answer.status_code == 401:
                answer = yield request.authorized(f"to {answer.headers['WWW-Authenticate']}")
        finally:
            self.closed = True


def test_legs() -> None:
    """
    Credentials see each answer and say what is sent next; the last answer is the request's.
    """
    server, legs = Server(401, 401, 200), Legs()
    answer = authenticated(REQUEST, legs, server)

    assert (200, True, 7.0) == (answer.status_code, legs.closed, legs.seconds)
    assert [None, "to leg 1", "to leg 2"] == [request.headers.get("Authorization") for request in server.sent]


def test_no_answer() -> None:
    """
    When no answer comes, the flow is closed there and then: what it holds for others is free again.
    """
    server, legs = Server(401), Legs()
    with pytest.raises(NoAnswerError) as caught:
        authenticated(REQUEST, legs, server)

    assert legs.closed
    assert caught.value.__context__ is None

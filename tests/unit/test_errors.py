"""
The exception tree.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import pytest

from kf_provider import errors
from kf_provider.errors import (
    ForbiddenError,
    InstanceIdError,
    KeyfactorError,
    NotFoundError,
    RequestError,
    StatusError,
    UnauthorizedError,
    UnavailableError,
    status_meaning,
)


def tree(error: type[BaseException]) -> Iterator[type[BaseException]]:
    yield error
    for child in error.__subclasses__():
        yield from tree(child)


def made(error: type[BaseException]) -> BaseException:
    if issubclass(error, StatusError):
        return error("why", status_code=503, error_code="0xA0", keyfactor_message="no", retry_after=7.0)
    return error("why", is_transient=True) if issubclass(error, RequestError) else error("why")


@pytest.mark.parametrize("error", list(tree(KeyfactorError)), ids=lambda error: error.__name__)
def test_tree_is_drawn(error: type[BaseException]) -> None:
    """
    Every class of the tree stands in the drawing at the top of the file.
    """
    assert error.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("error", list(tree(KeyfactorError)), ids=lambda error: error.__name__)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_copies(error: type[BaseException], copied: object) -> None:
    """
    A copied or pickled error has the class, the message and the attributes of its original.
    """
    original = made(error)
    twin = copied(original)  # type: ignore[operator]  # three functions of different types

    assert (type(original), str(original), vars(original)) == (type(twin), str(twin), vars(twin))


def test_instance_id_is_value_error() -> None:
    """
    Who passes a wrong id gets a ValueError, as from uuid.UUID.
    """
    assert issubclass(InstanceIdError, ValueError)


def test_transient_only_when_said() -> None:
    """
    An error is not transient, and asks for no pause, unless it says so.
    """
    error = NotFoundError("why", status_code=404)

    assert (False, None) == (error.is_transient, error.retry_after)


@pytest.mark.parametrize(
    ("status", "error", "is_transient"),
    [
        (204, StatusError, False),
        (400, StatusError, False),
        (401, UnauthorizedError, False),
        (403, ForbiddenError, False),
        (404, NotFoundError, False),
        (408, UnavailableError, True),
        (421, UnavailableError, True),
        (425, UnavailableError, True),
        (429, UnavailableError, True),
        (499, StatusError, False),
        (500, UnavailableError, True),
        (503, UnavailableError, True),
        (599, UnavailableError, True),
    ],
)
def test_status_meaning(status: int, error: type[StatusError], is_transient: bool) -> None:
    """
    The class of a status, and whether it may pass, is decided in one place for Keyfactor and token endpoints.
    """
    assert (error, is_transient) == status_meaning(status)

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
    SettingsError,
    StatusError,
    UnauthorizedError,
    UnavailableError,
    only_ours,
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


class _Odd:
    """Something that a caller passes, and that breaks in our hands."""

    def __str__(self) -> str:
        raise OverflowError("canary-5be1")


def test_only_ours() -> None:
    """
    What nobody foresaw becomes the border's own error: with its class and place, without its words and its frames.
    """

    @only_ours(SettingsError)
    def border(value: object) -> str:
        return str(value)

    with pytest.raises(SettingsError, match=r"^border: OverflowError.* was not foreseen; check ") as caught:
        border(_Odd())

    assert "canary-5be1" not in str(caught.value)
    assert (None, None) == (caught.value.__cause__, caught.value.__context__)


@pytest.mark.parametrize("ours", [NotFoundError("why", status_code=404), InstanceIdError("why")])
def test_only_ours_keeps_ours(ours: KeyfactorError) -> None:
    """
    An error of this package passes as it is.
    """

    @only_ours(SettingsError)
    def border() -> None:
        raise ours

    with pytest.raises(KeyfactorError) as caught:
        border()

    assert ours is caught.value


def test_only_ours_keeps_the_signature() -> None:
    """
    A call that does not fit is Python's own error, as without the border; what ends a program ends it.
    """

    @only_ours(SettingsError)
    def border(value: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(TypeError, match="missing a required argument: 'value'"):
        border()  # type: ignore[call-arg]  # that is the case
    with pytest.raises(KeyboardInterrupt):
        border(1)


@pytest.mark.parametrize("error", list(tree(KeyfactorError)), ids=lambda error: error.__name__)
def test_messages_are_printable(error: type[BaseException]) -> None:
    """
    No message carries what a terminal obeys, wherever it came from; the ways to log in may stand on lines of their own.
    """
    said = "user a\x1b[31m\u202eb\n\udce9"
    more = {"status_code": 401} if issubclass(error, StatusError) else {}

    assert str(error(said, **more)).replace("\n", "").isprintable()
    assert ("\n" in str(error(said, **more))) == (error is SettingsError)

"""
What `kf wait --resume FILE` keeps between its runs: what is waited for, where, and since when. No secrets.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn

import click
from filelock import FileLock, Timeout
from pydantic import AfterValidator, BaseModel, ConfigDict, PositiveFloat, ValidationError

from ..keyfactor.matching import checked_expectations
from ..keyfactor.models import parse_instance_id
from .exits import BROKEN_INPUT, PENDING, USAGE
from .options import tell

_LARGEST: Final = 4 * 1024 * 1024  # bytes


class Kept(BaseModel):
    """
    One wait. `began` is in seconds since 1970, `timeout` and `max_age` are in seconds; `is_over` says that a run has
    ended at its timeout.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    version: Literal[1] = 1
    ids: tuple[Annotated[str, AfterValidator(parse_instance_id)], ...]
    expect: Annotated[dict[str, Any], AfterValidator(checked_expectations)]
    max_age: PositiveFloat | None
    follow_restarts: bool
    any: bool
    server: str
    identity: str
    began: float
    timeout: PositiveFloat
    is_over: bool = False


def _end(text: str, code: int) -> NoReturn:
    tell(text)
    raise click.exceptions.Exit(code)


def _refuse(file: Path) -> NoReturn:
    _end(f"{file} is not a file of `kf wait --resume`; it is left as it is: remove it, or name another", BROKEN_INPUT)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """
    Be the only one who waits with this file.
    """
    if not file.parent.is_dir():  # the lock would make one
        _end(f"{file}: there is no folder {file.parent}; name another file with --resume", USAGE)
    lock = FileLock(f"{file}.lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _end(f"another `kf wait` runs with {file}; nothing was asked here", PENDING)
    except OSError as broken:
        _end(f"{file} cannot be locked ({broken.strerror}); name another file with --resume", USAGE)
    try:
        yield
    finally:
        lock.release()


def read(file: Path) -> Kept | None:
    """
    What is kept there; None when there is no file. A file that is none of ours ends the command, and is left as it is.
    """
    try:
        if not file.exists():
            return None
        if not file.is_file() or file.stat().st_size > _LARGEST:
            _refuse(file)
        kept = Kept.model_validate_json(file.read_bytes())
    except OSError as broken:
        _end(f"{file} cannot be read ({broken.strerror})", BROKEN_INPUT)
    except (ValidationError, ValueError):
        _refuse(file)
    if not kept.ids:
        _refuse(file)
    return kept


def write(file: Path, kept: Kept) -> None:
    """
    Keep it: the whole file or nothing, also when this process is killed meanwhile. Raises OSError.
    """
    text = kept.model_dump_json(indent=2) + "\n"
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as new:
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
        os.replace(name, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def gone_on(kept: Kept | None, wanted: Kept, *, given: Sequence[str], new_timeout: float | None) -> Kept:
    """
    The wait to go on with: the kept one, when it is of this server and identity, and what is given equals it.

    `wanted` is what this run was called with, and `given` the names in it that the call has said.
    """
    if kept is None:
        return wanted
    for name, what in (("server", "server"), ("identity", "identity")):
        if getattr(kept, name) != getattr(wanted, name):
            _end(
                f"the file was written for the {what} {getattr(kept, name)}, and this run is for"
                f" {getattr(wanted, name)}: take another file",
                BROKEN_INPUT,
            )
    for name in given:
        if getattr(kept, name) != getattr(wanted, name):
            _end(f"the file was written with another {_SAID[name]} than this call has; take another file", USAGE)
    if new_timeout is not None and kept.is_over:
        return kept.model_copy(update={"began": time.time(), "timeout": new_timeout, "is_over": False})
    return kept if new_timeout is None else kept.model_copy(update={"timeout": new_timeout})


_SAID: Final = {
    "ids": "set of IDs",
    "expect": "--expect",
    "max_age": "--max-age",
    "follow_restarts": "--follow-restarts",
    "any": "--any",
}

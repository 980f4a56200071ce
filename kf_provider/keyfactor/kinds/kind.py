"""
What makes a kind of credentials: its settings, and one record of what is to be known of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr

from ..credentials import Credentials
from ..sources import Setting


class Fields(BaseModel):
    """
    Some of the settings: each a field whose annotation has a `Setting`. Settings are made of several of these.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def settings_in(model: type[BaseModel]) -> dict[str, Setting]:
    """
    What is told of each field, in their order.
    """
    return {
        field: next(part for part in info.metadata if isinstance(part, Setting))
        for field, info in model.model_fields.items()
    }


def ways(model: type[BaseModel], field: str) -> str:
    """
    Every way to give this setting, as messages tell them.
    """
    return settings_in(model)[field].ways(field)


def unwrapped(secret: SecretStr | None) -> str:
    """
    The secret itself. Called by kinds of credentials alone.
    """
    return secret.get_secret_value() if secret is not None else ""


Given_contra = TypeVar("Given_contra", bound=Fields, contravariant=True)


@dataclass(frozen=True)
class Kind(Generic[Given_contra]):
    """
    A kind of credentials.

    `auth_type` is Keyfactor's word for it. `identified_by` has sets of fields, each of which says that it is meant;
    `needs` the fields that must be there, in the order in which messages name them, and of a tuple, one. `identity`
    tells one account from another, without a secret. `credentials` makes them of the settings, sends nothing, and
    raises SettingsError for what cannot be used. With `binds_connection` the server lets in a connection and not a
    request, so all that belongs to a request goes over one.
    """

    name: str
    model: type[Fields]
    auth_type: str
    identified_by: tuple[frozenset[str], ...]
    needs: tuple[str | tuple[str, ...], ...]
    identity: Callable[[Given_contra], str]
    credentials: Callable[[Given_contra], Credentials]
    binds_connection: bool = False

    @property
    def fields(self) -> frozenset[str]:
        """
        All settings that belong to it.
        """
        return frozenset(self.model.model_fields)

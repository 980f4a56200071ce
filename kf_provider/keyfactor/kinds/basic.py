"""
Basic authentication: a user and a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypedDict

from pydantic import AfterValidator, SecretStr, model_validator

from ..credentials import FixedHeader, basic
from ..inputs import Input
from ..sources import Setting
from .kind import Fields, Kind, unwrapped, ways


def _without_colon(value: str) -> str:
    if ":" in value:  # RFC 7617, section 2: everything after it would be the password
        raise ValueError("has a colon in it, which Basic authentication cannot carry")
    return value


class BasicSettings(Fields):
    """
    The user.
    """

    username: Annotated[
        Annotated[str, AfterValidator(_without_colon)] | None,
        Setting("for Basic authentication, also as `DOMAIN\\user` or `user@domain`", "KEYFACTOR_USERNAME", "username"),
    ] = None
    password: Annotated[
        SecretStr | None,
        Setting("for Basic authentication", "KEYFACTOR_PASSWORD", "password"),
    ] = None
    domain: Annotated[
        Annotated[str, AfterValidator(_without_colon)] | None,
        Setting("the Active Directory domain of `username`", "KEYFACTOR_DOMAIN", "domain"),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _with_domain(cls, given: Any) -> Any:
        # As Keyfactor's tools: `user@domain` and `DOMAIN\\user` win over a domain of its own.
        if not isinstance(given, Mapping) or not isinstance(username := given.get("username"), str):
            return given
        domain, found, user = username.strip().partition("\\")
        if not found:
            user, found, domain = username.strip().partition("@")
        if not found:
            return given
        if not domain or not user or found in domain + user:
            raise ValueError(f"{ways(cls, 'username')} is not of the form DOMAIN\\user or user@domain")
        return {**given, "domain": domain, "username": user}

    @property
    def qualified_username(self) -> str:
        """
        `DOMAIN\\user`, or the user name alone when no domain is known.
        """
        return f"{self.domain}\\{self.username}" if self.domain else self.username or ""


class BasicInputs(TypedDict, total=False):
    """
    The same settings as a program gives them.
    """

    username: Input[str] | None
    password: Input[str] | None
    domain: Input[str] | None


def _identity(given: BasicSettings) -> str:
    return f"basic:{given.qualified_username}"


def _credentials(given: BasicSettings) -> FixedHeader:
    return basic(given.qualified_username, unwrapped(given.password))


KIND: Final = Kind[BasicSettings](
    name="basic",
    model=BasicSettings,
    auth_type="basic",
    identified_by=(frozenset({"username", "password"}),),
    needs=("username", "password"),
    identity=_identity,
    credentials=_credentials,
)

"""
Keyfactor's workflow instances: which requests bring them, and what the answers mean. Asks with GET alone.

Source: Keyfactor Command Web API reference, Workflow Instances; "Web API Common Features" for the headers.
"""

from __future__ import annotations

import functools
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from typing import Any, Concatenate, Final, NoReturn, ParamSpec, Self, TypeVar, Unpack
from urllib.parse import quote, urlencode

from pydantic import ValidationError

from ..errors import (
    ArgumentError,
    ForbiddenError,
    InstanceIdError,
    NotFoundError,
    NotIssuedError,
    RequestError,
    SearchError,
    SettingsError,
    StatusError,
    UnauthorizedError,
    UnusableAnswerError,
    only_ours,
)
from ..words import safe_line
from .answers import Answer, Request, json_of, whole_number
from .auth import authenticated
from .finding import UNPINNED, Search, is_newest_first
from .finding import newest_first as in_order_of_start
from .issued import Name, asked_name, issued_names
from .models import (
    Certificate,
    Instance,
    InstanceSummary,
    Status,
    StatusWord,
    WorkflowDefinition,
    parse_instance_id,
)
from .refusals import Asked, refusal
from .search import Filters, doubt_about, query_of, shown
from .settings import Settings
from .transport import Transport

RETRIES: Final = 2
PAGE_SIZE: Final = 50  # Keyfactor's own default for ReturnLimit
# 0 is ascending, whatever the parameter is called.
_IN_ORDER: Final[Mapping[str, str]] = {"SortField": "ReferenceId", "SortAscending": "0"}
_NEWEST_FIRST: Final[Mapping[str, str]] = {"SortField": "StartDate", "SortAscending": "1"}
_MOST_READS: Final = 5  # at a list that loses rows while it is read
_THE_LIST: Final = "the list of workflow instances"
_INSTANCES: Final = "/Workflow/Instances"
_CERTIFICATES: Final = "/Certificates"
_WITH_METADATA: Final[Mapping[str, str]] = {"includeMetadata": "true"}
# Revoked and expired ones are left out of a list unless asked for.
_ALL_CERTIFICATES: Final[Mapping[str, str]] = {
    "PageReturned": "1",
    "ReturnLimit": "10",
    "IncludeRevoked": "true",
    "IncludeExpired": "true",
}
# What is mine, and what Command 10 puts before the names of the parameters there (its specification, 10.0). It reads
# either form, and later versions the bare names.
_ASSIGNED: Final = (f"{_INSTANCES}/AssignedToMe", "pq.")
_STARTED: Final = (f"{_INSTANCES}/My", "instanceQuery.")

_Model = TypeVar("_Model", Certificate, Instance, InstanceSummary, WorkflowDefinition)
_READ_INSTANCES: Final = (
    "it needs WorkflowInstances: ReadAll, ReadAssignedToMe or ReadMy (Command 10), or /workflows/instances/read/ (11"
    " and later)"
)
_READ_CERTIFICATES: Final = (
    "it needs Certificates: Read (Command 10), or /certificates/collections/read/ (11 and later)"
)
_READ_DEFINITIONS: Final = "it needs to read workflow definitions: /workflows/definitions/read/ (Command 11 and later)"


_Given = ParamSpec("_Given")
_Brought = TypeVar("_Brought")


def _one_call(
    method: Callable[Concatenate[Client, _Given], _Brought],
) -> Callable[Concatenate[Client, _Given], _Brought]:
    """
    The method with one deadline, its `timeout`, for all that it sends.
    """

    @functools.wraps(method)
    def call(self: Client, /, *args: _Given.args, **given: _Given.kwargs) -> _Brought:
        with self._within(given.get("timeout")):
            return method(self, *args, **given)

    return call


class Client:
    """
    A client of one Keyfactor Command server. May be shared by threads; `close()` it, or use it in a `with` statement.

    Every method raises a RequestError when the server does not give what was asked for, and none but this package's
    errors. A `timeout` is in seconds, for the call as a whole: connecting, a token, repetitions, all pages, and the
    last byte of the answer. `retries` is how often a GET is repeated after a connection error, a 502, 503 or 504: 0 for
    those who poll.
    """

    @only_ours(SettingsError)
    def __init__(self, settings: Settings) -> None:
        """
        Sends nothing. Raises SettingsError when the CA certificate or the token cannot be used.
        """
        self.settings = settings
        self._transport = Transport(settings)
        self._credentials = settings.credential_kind.credentials(settings)

    @only_ours(RequestError)
    @_one_call
    def get_workflow_instance(
        self,
        instance_id: str | uuid.UUID | None = None,
        *,
        reference_id: int | None = None,
        timeout: float | None = None,
        retries: int = RETRIES,
    ) -> Instance:
        """
        The instance with this id, or with this reference id (the number that the portal shows), as it is now.

        Raises InstanceIdError, before anything is sent, when it is not the id of an instance; NotFoundError when there
        is none; RequestError when several have the reference id.
        """
        if reference_id is not None:
            if instance_id is not None:
                raise InstanceIdError("pass either instance_id or reference_id, not both")
            instance_id = self._id_of(reference_id, timeout=timeout, retries=retries)
        wanted = parse_instance_id(instance_id)
        what = f"workflow instance {wanted}"
        answer = self._get(f"{_INSTANCES}/{wanted}", what=what, timeout=timeout, retries=retries)
        instance = self._parsed(Instance, json_of(answer, self.settings.server), what, answered_at=answer.date)
        if instance.instance_id != wanted:
            raise UnusableAnswerError(
                f"{self.settings.server} answered with workflow instance {instance.instance_id} when asked for {wanted}"
            )
        return instance

    @only_ours(RequestError)
    @_one_call
    def list_workflow_instances(
        self,
        *,
        assigned_to_me: bool = False,
        started_by_me: bool = False,
        newest_first: bool = False,
        limit: int | None = None,
        timeout: float | None = None,
        retries: int = RETRIES,
        warn: Callable[[str], object] | None = None,
        **filters: Unpack[Filters],
    ) -> list[InstanceSummary]:
        """
        The instances that meet all filters, the oldest first, at most `limit`; all pages.

        `assigned_to_me`: those that wait for this user's answer; `started_by_me`: those that this user started; not
        both. `newest_first`: in the order of their start, the last one first, so that `limit` keeps the newest; without
        it, in the order of their reference ids.

        A list that grows while it is read page by page loses no row: the order is that of what does not change. One
        that shrinks is read again, where the server tells how many there are.

        `warn` is called for a filter that looks like a mistake; without it, Python's `warnings` are. Raises
        SearchError, before anything is sent, for one that cannot be put into Keyfactor's query language, or that no
        instance meets.
        """
        query = query_of(filters, self.settings.status_names)
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise SearchError(f"limit: {shown(limit)} is not a whole number of at least 1")
        if assigned_to_me and started_by_me:
            raise SearchError("pass either assigned_to_me or started_by_me, not both: Keyfactor has a list for each")
        if doubt := doubt_about(filters):
            (warn or _warn)(doubt)

        def is_enough(rows: Sequence[InstanceSummary]) -> bool:
            return limit is not None and len(rows) >= limit and (not newest_first or is_newest_first(rows))

        rows = self._rows(
            query,
            *(_ASSIGNED if assigned_to_me else _STARTED if started_by_me else (_INSTANCES, "")),
            order={} if filters.get("ids") is not None else _NEWEST_FIRST if newest_first else _IN_ORDER,
            page_size=min(limit or PAGE_SIZE, PAGE_SIZE),
            is_enough=is_enough,
            limit=limit,
            ask=partial(self._get, what=_THE_LIST, has_id=False, timeout=timeout, retries=retries),
            warn=warn or _warn,
        )
        return (in_order_of_start(rows) if newest_first else rows)[:limit]

    @only_ours(RequestError)
    @_one_call
    def find_workflow_instance(
        self,
        *,
        match: Mapping[str, Any] | None = None,
        status: StatusWord | Status | int | None = "Complete",
        workflow_type: str | None = "Enrollment",
        definition_id: str | None = None,
        title_contains: str | None = None,
        initiated_by: str | None = None,
        started_after: datetime | str | None = None,
        query: str | None = None,
        timeout: float | None = None,
        retries: int = RETRIES,
        warn: Callable[[str], object] | None = None,
    ) -> Instance:
        """
        The newest instance, by its start, that meets the filters and the match, as it is now.

        `match` is the language of the gate's `expect`: dotted paths into the instance, and the values it must have,
        exactly. The list is asked first, the newest first, and no further than needed; what no row of it has, such as
        state data, is read by a GET of each candidate, five at a time and fifty at most.

        Whoever starts an instance of the same kind later would be found: pin `definition_id` and `initiated_by`.
        `warn` is called when nothing pins the definition; without it, Python's `warnings` are.

        Raises NotFoundError when none matches, RequestError when two of the same moment do, or when the fifty newest
        candidates do not and there are more; SearchError, before anything is sent, for a filter or a match that makes
        no sense. No message has a value of `match` in it.
        """
        filters: Filters = {
            "status": status,
            "workflow_type": workflow_type,
            "definition_id": definition_id,
            "title_contains": title_contains,
            "initiated_by": initiated_by,
            "started_after": started_after,
            "query": query,
        }

        def read(instance_id: str) -> Instance:
            # In a thread of its own, which does not know this call's deadline.
            return self.get_workflow_instance(instance_id, timeout=max(deadline - time.monotonic(), 0), retries=retries)

        deadline = time.monotonic() + self._transport.seconds_left()
        search = Search(filters, match, read, server=self.settings.server, status_names=self.settings.status_names)
        written = query_of(filters, self.settings.status_names)
        for doubt in (doubt_about(filters), None if search.is_pinned else UNPINNED):
            if doubt:
                (warn or _warn)(doubt)
        settled: list[Instance] = []

        def is_enough(rows: Sequence[InstanceSummary]) -> bool:
            if is_newest_first(rows) and (found := search.settled(rows)):
                settled.append(found)
            return bool(settled)

        rows = self._rows(
            written,
            _INSTANCES,
            "",
            order=_NEWEST_FIRST,
            page_size=PAGE_SIZE,
            is_enough=is_enough,
            limit=None,
            ask=partial(self._get, what=_THE_LIST, has_id=False, timeout=timeout, retries=retries),
            warn=warn or _warn,
        )
        return settled[0] if settled else search.newest(in_order_of_start(rows))

    @only_ours(RequestError)
    @_one_call
    def get_workflow_definition(
        self,
        definition_id: str,
        *,
        version: int | None = None,
        timeout: float | None = None,
        retries: int = RETRIES,
    ) -> WorkflowDefinition:
        """
        A workflow definition with its steps: this version of it, or the latest.

        Asked for in version 2 of the API, which names the security roles that may send a signal, and where that is
        refused in version 1, which has their numbers.

        Source: Keyfactor/keyfactor-go-client-sdk, v25/api/keyfactor/v1 and v2, WorkflowDefinitionApi.
        """
        path, what = (
            f"/Workflow/Definitions/{quote(definition_id, safe='')}",
            f"workflow definition {safe_line(definition_id)}",
        )
        parameters = {} if version is None else {"definitionVersion": str(version)}
        ask = partial(
            self._get, path, parameters, what=what, timeout=timeout, retries=retries, permission=_READ_DEFINITIONS
        )
        try:
            answer = ask(api_version="2")
        except StatusError as refused:
            if refused.is_transient or isinstance(refused, UnauthorizedError | ForbiddenError):
                raise
            answer = ask()
        return self._parsed(WorkflowDefinition, json_of(answer, self.settings.server), what)

    @only_ours(RequestError)
    @_one_call
    def get_certificate(
        self,
        *,
        certificate_id: int | None = None,
        thumbprint: str | None = None,
        request_id: int | None = None,
        instance_id: str | uuid.UUID | None = None,
        timeout: float | None = None,
        retries: int = RETRIES,
    ) -> Certificate:
        """
        The certificate with this id, this thumbprint (SHA-1, in hexadecimal digits), of this request (what the answer
        to an enrollment calls KeyfactorRequestId), or that an approved enrollment has issued; exactly one of the four.

        Revoked and expired ones too: `state` and `not_after` tell. Raises ArgumentError or SearchError, before anything
        is sent, for none, several, or what cannot be; NotFoundError when there is none; NotIssuedError, which may pass,
        when a request has no certificate yet; RequestError when several are found, or the instance names none.
        """
        if [certificate_id, thumbprint, request_id, instance_id].count(None) != 3:
            raise ArgumentError("get_certificate: pass one of certificate_id, thumbprint, request_id and instance_id")
        ask = partial(self._get, permission=_READ_CERTIFICATES, timeout=timeout, retries=retries)
        asked = asked_name(certificate_id, thumbprint, request_id)
        if asked is not None:
            return self._certificate(asked, ask)
        instance = self.get_workflow_instance(instance_id, timeout=timeout, retries=retries)
        name, *others = issued_names(instance, self.settings.server)
        certificate = self._certificate(name, ask)
        for other in others:
            is_same = other.names(certificate)
            if is_same is None:
                is_same = self._certificate(other, ask).certificate_id == certificate.certificate_id
            if not is_same:
                raise RequestError(
                    f"the state data of workflow instance {instance.instance_id} names two certificates "
                    f"(by {name.kind} and by {other.kind}); pass the certificate_id, thumbprint or request_id of the "
                    f"right one"
                )
        return certificate

    def _certificate(self, name: Name, ask: Callable[..., Answer]) -> Certificate:
        server, what = self.settings.server, f"the certificate with {name}"
        if name.kind == "certificate_id":
            answer = ask(f"{_CERTIFICATES}/{name.value}", _WITH_METADATA, what=what)
            found = [self._parsed(Certificate, json_of(answer, server), what)]
            if found[0].certificate_id != name.value:
                raise UnusableAnswerError(
                    f"{server} answered with certificate {found[0].certificate_id} when asked for {name.value}"
                )
            return found[0]
        query = f'Thumbprint -eq "{name.value}"' if name.kind == "thumbprint" else f"CertRequestId -eq {name.value}"
        answer = ask(
            _CERTIFICATES, {**_named({**_ALL_CERTIFICATES, "QueryString": query}), **_WITH_METADATA}, what=what
        )
        rows = json_of(answer, server)
        if not isinstance(rows, list):
            raise UnusableAnswerError(f"{server} answered with something other than a list of certificates")
        parsed = [self._parsed(Certificate, row, what) for row in rows]
        # Not every server takes every query; what a row does not tell, it may be.
        found = [certificate for certificate in parsed if name.names(certificate) is not False]
        if not found and name.kind == "request_id":
            raise NotIssuedError(
                f"the request {name.value} on {server} has no certificate: it is not issued yet, or the number is not "
                f"the KeyfactorRequestId of an enrollment; wait until its workflow instance is Complete"
            )
        if not found:
            raise NotFoundError(
                f"{what} was not found on {server}; check it, and that {self.settings.identity} may see it",
                status_code=404,
            )
        if len(found) > 1:
            ids = ", ".join(str(number) for number in sorted({certificate.certificate_id for certificate in found})[:5])
            raise RequestError(
                f"{len(found)} certificates on {server} have the {name}: pass the certificate_id of one, {ids}"
            )
        if found[0].pem is None or name.names(found[0]) is None:
            certificate = self._certificate(Name("certificate_id", found[0].certificate_id), ask)
            if name.names(certificate) is False:
                raise UnusableAnswerError(f"{server} answered with another certificate when asked for {what}")
            return certificate
        return found[0]

    def close(self) -> None:
        """
        Close the idle connections.
        """
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client holds credentials and connections and is not pickled: make one where it is used")

    def _id_of(self, reference_id: int, *, timeout: float | None, retries: int) -> str:
        rows = self.list_workflow_instances(reference_id=reference_id, timeout=timeout, retries=retries)
        ids = [row.instance_id for row in rows if row.reference_id == reference_id]
        if not ids:
            raise NotFoundError(
                f"no workflow instance with reference id {reference_id} was found on {self.settings.server}; check the"
                f" number, and that {self.settings.identity} may list workflow instances",
                status_code=404,
            )
        if len(ids) > 1:
            raise RequestError(
                f"{len(ids)} workflow instances on {self.settings.server} have the reference id {reference_id}:"
                f" pass the id of one, {', '.join(ids[:5])}"
            )
        return ids[0]

    def _rows(
        self,
        query: str,
        path: str,
        prefix: str,
        *,
        order: Mapping[str, str],
        page_size: int,
        is_enough: Callable[[Sequence[InstanceSummary]], bool],
        limit: int | None,
        ask: Callable[[str, Mapping[str, str]], Answer],
        warn: Callable[[str], object],
    ) -> list[InstanceSummary]:
        """
        The rows of all pages, or of the first that are enough; read again while rows are lost that way.
        """

        def page(number: int) -> tuple[list[InstanceSummary], int | None]:
            wanted = {"PageReturned": str(number), "ReturnLimit": str(page_size)}
            return self._page(partial(ask, path), wanted | ({"QueryString": query} if query else {}), order, prefix)

        found: dict[str, InstanceSummary] = {}
        for _ in range(_MOST_READS):
            known = len(found)
            is_whole, is_steady, total = self._read_pages(page, page_size, found, is_enough)
            if not is_whole:
                return [*found.values()]
            if is_steady or len(found) == known:
                break
        wanted = total or 0 if limit is None else min(total or 0, limit)
        # One page by ids has no order to lose rows from.
        if order and len(found) < wanted:
            warn(f"{self.settings.server} says that there are {total} such instances, and lists {len(found)}")
        return [*found.values()]

    def _read_pages(
        self,
        page: Callable[[int], tuple[list[InstanceSummary], int | None]],
        size: int,
        found: dict[str, InstanceSummary],
        is_enough: Callable[[Sequence[InstanceSummary]], bool],
    ) -> tuple[bool, bool, int | None]:
        """
        Put the rows of all pages into `found`, until that is enough. Whether it is all; whether the list lost no row
        meanwhile: when one goes, those behind it move up, and one may move from a page that is still to come to one
        that was read. And how many there were at first, where the server tells.
        """
        seen: set[str] = set()
        number, stale_pages, last_total, is_steady = 0, 0, 0, True
        first_total: int | None = None
        while True:
            number += 1
            rows, total = page(number)
            before = len(seen)
            seen |= {row.instance_id for row in rows}
            found |= {row.instance_id: row for row in rows if row.instance_id not in found}
            is_steady &= total is None or total >= last_total
            last_total = total or 0
            first_total = total if number == 1 else first_total
            # New rows that come in front push those of this page to the next: one page without a new one is no end. A
            # server that ignores paging sends the same for ever.
            stale_pages = stale_pages + 1 if len(seen) == before else 0
            is_unpaged = stale_pages > 0 and len(rows) > size
            # A server with a smaller page than asked for is not done after its first one.
            is_full = len(rows) >= size
            is_complete = not is_full if total is None else len(seen) == total or (len(seen) > total and not is_full)
            if not rows or is_complete or is_unpaged or stale_pages > 1:
                return True, is_steady, first_total
            if is_enough([*found.values()]):
                return False, is_steady, first_total

    def _page(
        self,
        ask: Callable[[Mapping[str, str]], Answer],
        parameters: Mapping[str, str],
        order: Mapping[str, str],
        prefix: str,
    ) -> tuple[list[InstanceSummary], int | None]:
        """
        The rows of one page, and how many there are on all, where the server tells.
        """
        try:
            answer = ask(_named({**parameters, **order}, prefix))
        except StatusError as refused:
            if refused.status_code != 400 or not order:
                raise
            # No source says by which columns a list can be sorted.
            answer = ask(_named(parameters, prefix))
        rows = json_of(answer, self.settings.server)
        if not isinstance(rows, list):
            raise UnusableAnswerError(f"{self.settings.server} answered with something other than {_THE_LIST}")
        total = whole_number(answer.headers.get("x-total-count"))
        return [self._parsed(InstanceSummary, row, _THE_LIST, answered_at=answer.date) for row in rows], total

    def _get(
        self,
        path: str,
        parameters: Mapping[str, str] | None = None,
        *,
        what: str,
        timeout: float | None,
        retries: int,
        permission: str = _READ_INSTANCES,
        has_id: bool = True,
        api_version: str = "1",
    ) -> Answer:
        # The documentation calls the first one mandatory.
        headers = {"x-keyfactor-requested-with": "APIClient", "x-keyfactor-api-version": api_version}
        query = urlencode(parameters or {}, quote_via=quote)
        url = f"{self.settings.base_url}{path}{f'?{query}' if query else ''}"
        attempt = partial(authenticated, Request("GET", url, headers), self._credentials, self._transport)
        with self._within(timeout):
            answer = self._transport.repeated(attempt, retries=retries)
        if answer.status_code != 200:
            asked = Asked(what, permission, has_id=has_id, query=query)
            raise refusal(answer, asked, self.settings, self._credentials)
        return answer

    def _within(self, timeout: object) -> AbstractContextManager[None]:
        if timeout is None:
            return self._transport.within(self.settings.request_timeout)
        if isinstance(timeout, bool) or not isinstance(timeout, int | float):
            raise ArgumentError(f"timeout: a number of seconds, not an object of type {type(timeout).__name__}")
        return self._transport.within(timeout)

    def _parsed(self, model: type[_Model], value: object, what: str, *, answered_at: datetime | None = None) -> _Model:
        context = {"status_names": self.settings.status_names, "answered_at": answered_at}
        try:
            return model.model_validate(value, context=context)
        except ValidationError as invalid:
            # Without the cause: pydantic's text is about our classes. Places only, the values may be secret.
            places = ", ".join(sorted({_place(error["loc"]) or "all of it" for error in invalid.errors()}))
            raise UnusableAnswerError(
                f"{self.settings.server} answered with {what} in an unknown form: {places}"
            ) from None


def _named(parameters: Mapping[str, str], prefix: str = "pq.") -> dict[str, str]:
    """
    Parameters of a list by their names, and where there is a prefix by those of Command 10 as well.
    """
    older = {f"{prefix}{name[0].lower()}{name[1:]}": value for name, value in parameters.items()} if prefix else {}
    return {**parameters, **older}


_clients: Final[dict[Settings, Client]] = {}
_clients_lock: Final = threading.Lock()


def client_for(settings: Settings) -> Client:
    """
    This process's client for these settings: its connections and its token are shared by all who ask for it.
    """
    with _clients_lock:
        if settings not in _clients:
            _clients[settings] = Client(settings)
        return _clients[settings]


def _place(location: tuple[int | str, ...]) -> str:
    # pydantic names the branches of `int | str` as well, each in an error of its own; no field is called so.
    return ".".join(str(part) for part in location if part not in ("int", "str"))


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=5)  # where the list was asked for

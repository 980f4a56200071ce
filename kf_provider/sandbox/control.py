"""
The control API under /sandbox: how tests and people move the sandbox. It is no part of Keyfactor's.

No authentication: the server listens on loopback only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from .accounts import EVERY_PERMISSION, Permission
from .definitions import PKI_ADMINISTRATORS, ApprovalStep
from .faults import FaultKind, FaultRule, unkind_rules
from .journal import RequestRecord
from .report import Report, build_report
from .state import DEFAULT_TEMPLATE, SandboxState
from .wire import parse_id, timestamp
from .workflow import Instance, InstanceNotFoundError, WorkflowError

OPERATOR_USERNAME = "KEYEXAMPLE\\operator"

MOST_APPROVALS: Final = 20  # of a step
MOST_STEPS: Final = 10
MOST_BYTES: Final = 1024 * 1024  # of a request; a subject of 20 MB is no test of anything

_RECORDS: TypeAdapter[list[RequestRecord]] = TypeAdapter(list[RequestRecord])

_REPORT: TypeAdapter[Report] = TypeAdapter(Report)

_Body = TypeVar("_Body", bound="_RequestBody")


class _RequestBody(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EnrollmentRequest(_RequestBody):
    """
    `approvals`: how many people must approve; a list makes one step of each of its numbers.
    """

    subject: str
    approvals: int | list[int] = 1
    template: str = DEFAULT_TEMPLATE
    initiated_by: str | None = None
    state_data: dict[str, Any] = {}
    held: bool = False


class AccountRequest(_RequestBody):
    """
    A user with these permissions; role 2 may approve.
    """

    username: str
    permissions: frozenset[Permission] = EVERY_PERMISSION
    role_ids: frozenset[int] = frozenset({PKI_ADMINISTRATORS})


class TokensRequest(_RequestBody):
    """
    `lifetime_seconds` of the tokens that are given out from here on; `revoke` ends those that are out.
    """

    lifetime_seconds: float | None = Field(default=None, gt=0)
    revoke: bool = False


class AssertionRequest(_RequestBody):
    """
    For how many seconds a signed token is good.
    """

    lifetime_seconds: float = Field(default=600.0, gt=0, le=86_400)


class CommentRequest(_RequestBody):
    """
    What is said with an approval, a denial or a failure.
    """

    comment: str = ""


class AdvanceRequest(_RequestBody):
    """
    How far to move the clock.
    """

    seconds: float = Field(ge=0)


class FailNext(_RequestBody):
    """
    The next `count` requests get an error status.
    """

    count: int = Field(ge=1)
    status: int = Field(default=503, ge=400, le=599)
    retry_after: str | None = None


class FaultsRequest(_RequestBody):
    """
    What is absent stays as it is. `clear` ends every fault before the rest is applied; `seed`, `unkind` (a rate) and
    `rules` without `times` make a new plan, whose sequences begin at their beginning.
    """

    clear: bool = False
    seed: int | None = None
    unkind: float | None = Field(default=None, ge=0, le=1)
    outage: bool | None = None
    hang: bool | None = None
    fail_next: FailNext | None = None
    rules: list[FaultRule] = []
    most_in_a_row: int | None = Field(default=None, ge=1)


class ControlApi:
    """
    The routes under /sandbox.
    """

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def mount(self) -> Mount:
        """
        The routes, for the sandbox's application.
        """
        instance = "/instances/{instance_id}"
        return Mount(
            "/sandbox",
            routes=[
                self._post("/enrollments", EnrollmentRequest, self._enroll),
                self._post(instance + "/approve", CommentRequest, self._approve),
                self._post(instance + "/deny", CommentRequest, self._deny),
                self._post(instance + "/stop", CommentRequest, self._stop),
                self._post(instance + "/restart", CommentRequest, self._restart),
                self._post(instance + "/fail", CommentRequest, self._fail),
                self._post(instance + "/proceed", CommentRequest, self._proceed),
                self._post(instance + "/complete", CommentRequest, self._complete),
                self._post(instance + "/purge", CommentRequest, self._purge),
                self._post("/accounts", AccountRequest, self._add_account),
                self._post("/tokens", TokensRequest, self._set_tokens),
                self._post("/assertions", AssertionRequest, self._assert),
                self._post("/advance", AdvanceRequest, self._advance),
                self._post("/faults", FaultsRequest, self._set_faults),
                self._post("/reset", _RequestBody, self._reset),
                Route("/journal", self._journal, methods=["GET"]),
                Route("/report", self._report, methods=["GET"]),
            ],
        )

    def _post(self, path: str, body_type: type[_Body], answer: Callable[[Request, _Body], Response]) -> Route:
        async def handle(request: Request) -> Response:
            try:
                content = await request.body()
                if len(content) > MOST_BYTES:
                    return control_error(413, f"a request has at most {MOST_BYTES} bytes, and this one {len(content)}")
                body = body_type.model_validate_json(content or b"{}")
                with self._state.lock:
                    return answer(request, body)
            except ValidationError as exc:
                error = exc.errors()[0]
                where = ".".join(str(part) for part in error["loc"])
                return control_error(400, f"{where}: {error['msg']}" if where else error["msg"])
            except InstanceNotFoundError as exc:
                return control_error(404, str(exc))
            except WorkflowError as exc:
                return control_error(409, str(exc))
            except (ValueError, RecursionError) as exc:
                return control_error(400, str(exc))

        return Route(path, handle, methods=["POST"])

    def _enroll(self, request: Request, body: EnrollmentRequest) -> Response:
        del request
        instance = self._state.start_enrollment(
            body.subject,
            approval_steps(body.approvals),
            template=body.template,
            initiated_by=body.initiated_by,
            state_data=body.state_data,
            held=body.held,
        )
        return JSONResponse({"instance_id": str(instance.id), "reference_id": instance.reference_id}, status_code=201)

    def _approve(self, request: Request, body: CommentRequest) -> Response:
        return _status_response(
            self._state.signal_as_approver(requested_instance_id(request), approved=True, comment=body.comment)
        )

    def _deny(self, request: Request, body: CommentRequest) -> Response:
        return _status_response(
            self._state.signal_as_approver(requested_instance_id(request), approved=False, comment=body.comment)
        )

    def _stop(self, request: Request, body: CommentRequest) -> Response:
        del body
        return _status_response(self._state.machine.stop(requested_instance_id(request), by=OPERATOR_USERNAME))

    def _restart(self, request: Request, body: CommentRequest) -> Response:
        del body
        return _status_response(self._state.machine.restart(requested_instance_id(request), by=OPERATOR_USERNAME))

    def _fail(self, request: Request, body: CommentRequest) -> Response:
        return _status_response(self._state.machine.fail(requested_instance_id(request), body.comment))

    def _proceed(self, request: Request, body: CommentRequest) -> Response:
        del body
        return _status_response(self._state.machine.proceed(requested_instance_id(request)))

    def _complete(self, request: Request, body: CommentRequest) -> Response:
        del body
        return _status_response(self._state.machine.complete(requested_instance_id(request)))

    def _purge(self, request: Request, body: CommentRequest) -> Response:
        del body
        self._state.machine.delete(requested_instance_id(request))
        return Response(status_code=204)

    def _add_account(self, request: Request, body: AccountRequest) -> Response:
        del request
        account = self._state.add_account(body.username, permissions=body.permissions, role_ids=body.role_ids)
        return JSONResponse(
            {
                "username": account.username,
                "password": account.password,
                "access_token": account.access_token,
                "client_id": account.client_id,
                "client_secret": account.client_secret,
            },
            status_code=201,
        )

    def _assert(self, request: Request, body: AssertionRequest) -> Response:
        del request
        state = self._state
        text = state.accounts.assertion(state.default_account, lifetime_seconds=body.lifetime_seconds)
        return JSONResponse({"client_assertion": text}, status_code=201)

    def _set_tokens(self, request: Request, body: TokensRequest) -> Response:
        del request
        if body.lifetime_seconds is not None:
            self._state.accounts.token_lifetime_seconds = body.lifetime_seconds
        if body.revoke:
            self._state.accounts.revoke_tokens()
        return JSONResponse({"lifetime_seconds": self._state.accounts.token_lifetime_seconds})

    def _advance(self, request: Request, body: AdvanceRequest) -> Response:
        del request
        self._state.clock.advance(body.seconds)
        return JSONResponse({"now": timestamp(self._state.clock.now())})

    def _set_faults(self, request: Request, body: FaultsRequest) -> Response:
        del request
        faults = self._state.faults
        if body.clear:
            faults.clear()
        if body.outage is not None:
            faults.set_outage(body.outage)
        if body.hang is not None:
            faults.set_hang(body.hang)
        if body.fail_next is not None:
            faults.add(
                FaultRule(
                    kind=FaultKind.STATUS,
                    times=body.fail_next.count,
                    status=body.fail_next.status,
                    retry_after=body.fail_next.retry_after,
                )
            )
        plan = [rule for rule in body.rules if rule.times is None]
        if body.unkind is not None:
            plan += unkind_rules(body.unkind)
        if body.seed is not None or plan:
            faults.replace_plan(body.seed, plan)
        for rule in body.rules:
            if rule.times is not None:
                faults.add(rule)
        if body.most_in_a_row is not None:
            faults.most_in_a_row = body.most_in_a_row
        return JSONResponse(
            {
                "seed": faults.seed,
                "most_in_a_row": faults.most_in_a_row,
                "rules": [rule.model_dump(mode="json", exclude_none=True) for rule in faults.rules],
            }
        )

    def _reset(self, request: Request, body: _RequestBody) -> Response:
        del request, body
        self._state.reset()
        return Response(status_code=204)

    async def _journal(self, request: Request) -> Response:
        del request
        records = self._state.journal.records()
        return JSONResponse(
            {
                "seed": self._state.faults.seed,
                "report": _REPORT.dump_python(build_report(records), mode="json"),
                "requests": _RECORDS.dump_python(records, mode="json"),
            }
        )

    async def _report(self, request: Request) -> Response:
        del request
        return PlainTextResponse(build_report(self._state.journal.records()).card())


def approval_steps(approvals: int | list[int]) -> list[ApprovalStep]:
    """
    One approval step for `approvals` people, none for 0; a list makes one step of each of its numbers.
    """
    counts = [approvals] if isinstance(approvals, int) and approvals else approvals or []
    if len(counts) > MOST_STEPS or not all(0 < count <= MOST_APPROVALS for count in counts):
        raise ValueError(f"a step needs 1 to {MOST_APPROVALS} approvals, and there are at most {MOST_STEPS} steps")
    names = ("Manager approval", "PKI approval")
    return [ApprovalStep(names[n] if n < len(names) else f"Approval {n + 1}", count) for n, count in enumerate(counts)]


def requested_instance_id(request: Request) -> UUID:
    """
    The id in the path; what is no GUID is the id of no instance.
    """
    text = request.path_params["instance_id"]
    instance_id = parse_id(text)
    if instance_id is None:
        raise InstanceNotFoundError(f"no workflow instance {text}: an id is a GUID")
    return instance_id


def _status_response(instance: Instance) -> Response:
    return JSONResponse({"instance_id": str(instance.id), "status": instance.status})


def control_error(status: int, message: str) -> Response:
    """
    The body of every error under /sandbox, unlike Keyfactor's.
    """
    return JSONResponse({"error": message}, status_code=status)

"""
The class `Sandbox`: start it, move its workflow instances, look at what clients asked.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Iterable, Mapping
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from starlette.routing import Router
from starlette.types import Message, Receive, Scope, Send

from .accounts import EVERY_PERMISSION, Account, ClientProof, Permission
from .control import OPERATOR_USERNAME, ControlApi, approval_steps
from .definitions import PKI_ADMINISTRATORS
from .dialect import Dialect
from .faults import FaultKind, FaultRule, unkind_rules
from .journal import READS, Endpoint, RequestRecord
from .keyfactor_app import KeyfactorApp
from .loopback_server import LoopbackServer, loopback_address
from .portal import Portal
from .report import Report, build_report
from .same_origin import SameOriginGuard
from .state import DEFAULT_TEMPLATE, SandboxState
from .tls import CertificateFiles, ServerCertificate
from .token_endpoint import TOKEN_PATH
from .windows_login import WindowsLogin, WindowsScheme
from .wire import INVENTED_NUMBERS, Wire
from .workflow import Instance, Status


class Sandbox:
    """
    A Keyfactor Command in memory, on a loopback port.

        with Sandbox() as server:
            instance_id = server.start_enrollment(subject="CN=web.keyexample.com")
            server.approve(instance_id)

    `statuses` is "words", "numbers" or the numbers themselves; `dialect` is "10", "11" or "25"; `tls` is "valid",
    "expired", "wrong-host" or "self-signed". The same `seed` gives the same ids and faults. `unkind` is the rate of
    faults that a patient client survives. `oauth_client` is how the token endpoint lets clients in: "any", "basic",
    "form" or "assertion". With `windows`, "negotiate", "ntlm" or "both", nothing but that login is taken; it needs
    pyspnego.
    The port is bound by the constructor and answers inside the `with` block.
    Methods about an instance raise a `WorkflowError` where Keyfactor would refuse, and a `ValueError` for no GUID.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_path: str = "KeyfactorAPI",
        statuses: str | Mapping[Status, int] = "words",
        dialect: Dialect | str = Dialect.COMMAND_25,
        tls: ServerCertificate | str | None = None,
        seed: int | None = None,
        unkind: float = 0.0,
        oauth_client: ClientProof | str = ClientProof.ANY,
        windows: WindowsScheme | str | None = None,
    ) -> None:
        self.api_path = api_path.strip("/")
        self.seed = secrets.randbits(32) if seed is None else seed
        wire, proof = Wire(Dialect(dialect), _status_numbers(statuses)), ClientProof(oauth_client)
        self._windows = None if windows is None else WindowsLogin(WindowsScheme(windows))
        self._state = SandboxState(seed=self.seed, wire=wire, proof=proof, windows=self._windows)
        self.be_unkind(unkind)
        self._keyfactor_app = KeyfactorApp(self._state, self.api_path)
        self._own_app = SameOriginGuard(Router([*Portal(self._state).routes(), ControlApi(self._state).mount()]))
        self._certificate_files = (
            None if tls is None else CertificateFiles(ServerCertificate(tls), host=str(loopback_address(host)))
        )
        try:
            self._server = LoopbackServer(self._application, host=host, port=port, certificate=self._certificate_files)
        except OSError:
            self._remove_certificate_files()
            raise
        self.port = self._server.port
        self.url = f"{'https' if self._certificate_files else 'http'}://{self._server.address}:{self.port}"
        self.token_url = self.url + TOKEN_PATH
        self.ca_cert = str(self._certificate_files.ca_cert) if self._certificate_files else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """
        Answer requests from here on.
        """
        self._server.start()

    def close(self) -> None:
        """
        Cut every connection and free the port.
        """
        self._server.stop()
        self._remove_certificate_files()
        if self._windows is not None:
            self._windows.close()
            self._windows = None

    # What a client needs

    @property
    def account(self) -> Account:
        """
        The account whose credentials the attributes below are; it may do everything.
        """
        return self._state.default_account

    @property
    def username(self) -> str:
        """
        For Basic authentication, as DOMAIN\\user.
        """
        return self.account.username

    @property
    def password(self) -> str:
        """
        For Basic authentication.
        """
        return self.account.password

    @property
    def access_token(self) -> str:
        """
        A bearer token that never expires.
        """
        return self.account.access_token

    @property
    def client_id(self) -> str:
        """
        For the token endpoint.
        """
        return self.account.client_id

    @property
    def client_secret(self) -> str:
        """
        For the token endpoint.
        """
        return self.account.client_secret

    def add_account(
        self,
        username: str,
        *,
        permissions: Iterable[Permission | str] = EVERY_PERMISSION,
        role_ids: Iterable[int] = (PKI_ADMINISTRATORS,),
    ) -> Account:
        """
        Another account, with credentials of its own; role 2 may approve.
        """
        with self._state.lock:
            return self._state.add_account(
                username,
                permissions=(Permission(permission) for permission in permissions),
                role_ids=role_ids,
            )

    def renew_credentials(self) -> Account:
        """
        The account with a new password, client secret and access token; the old ones are refused from here on.
        """
        with self._state.lock:
            self._state.default_account = self._state.accounts.renew(self._state.default_account)
            return self._state.default_account

    def client_assertion(self, *, lifetime_seconds: float = 600.0) -> str:
        """
        A signed token that the token endpoint takes instead of the client's secret.
        """
        with self._state.lock:
            return self._state.accounts.assertion(self.account, lifetime_seconds=lifetime_seconds)

    def environment(self, account: Account | None = None) -> dict[str, str]:
        """
        The environment variables that make a client of Keyfactor Command work against this sandbox, with Basic.
        """
        account = account or self.account
        environment = {
            "KEYFACTOR_HOSTNAME": self.url,
            "KEYFACTOR_API_PATH": self.api_path,
            "KEYFACTOR_USERNAME": account.username,
            "KEYFACTOR_PASSWORD": account.password,
        }
        if self.ca_cert is not None:
            environment["KEYFACTOR_CA_CERT"] = self.ca_cert
        return environment

    def connection(self) -> dict[str, str | int | None]:
        """
        All that a client needs, and the seed: the first line of `kf sandbox`.
        """
        return {
            "url": self.url,
            "api_path": self.api_path,
            "username": self.username,
            "password": self.password,
            "access_token": self.access_token,
            "token_url": self.token_url,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "ca_cert": self.ca_cert,
            "seed": self.seed,
        }

    # Workflow instances

    def start_enrollment(
        self,
        subject: str = "CN=web.keyexample.com",
        approvals: int | list[int] = 1,
        *,
        template: str = DEFAULT_TEMPLATE,
        initiated_by: str | None = None,
        state_data: Mapping[str, Any] | None = None,
        held: bool = False,
    ) -> str:
        """
        Start an enrollment and return its instance's id.

        `approvals` people must approve it at one step; a list makes one step of each of its numbers, 0 none.
        `state_data` is added to its data. A `held` instance stays Running until `proceed`.
        """
        with self._state.lock:
            instance = self._state.start_enrollment(
                subject,
                approval_steps(approvals),
                template=template,
                initiated_by=initiated_by,
                state_data=dict(state_data or {}),
                held=held,
            )
            return str(instance.id)

    def approve(self, instance_id: str, comment: str = "") -> None:
        """
        Give the next approval, as somebody who may.
        """
        with self._state.lock:
            self._state.signal_as_approver(UUID(instance_id), approved=True, comment=comment)

    def deny(self, instance_id: str, comment: str = "") -> None:
        """
        Deny, as somebody who may: the instance is Rejected.
        """
        with self._state.lock:
            self._state.signal_as_approver(UUID(instance_id), approved=False, comment=comment)

    def stop(self, instance_id: str) -> None:
        """
        Stop a suspended instance: it is Rejected.
        """
        with self._state.lock:
            self._state.machine.stop(UUID(instance_id), by=OPERATOR_USERNAME)

    def restart(self, instance_id: str) -> str:
        """
        Restart a suspended or failed instance and return the new one's id; the old one is CanceledForRestart.
        """
        with self._state.lock:
            return str(self._state.machine.restart(UUID(instance_id), by=OPERATOR_USERNAME).id)

    def fail(self, instance_id: str, message: str = "") -> None:
        """
        Let the instance's current step fail.
        """
        with self._state.lock:
            self._state.machine.fail(UUID(instance_id), message)

    def proceed(self, instance_id: str) -> None:
        """
        Let a held instance go on.
        """
        with self._state.lock:
            self._state.machine.proceed(UUID(instance_id))

    def complete(self, instance_id: str) -> None:
        """
        Take the instance to Complete, whatever it still waits for.
        """
        with self._state.lock:
            self._state.machine.complete(UUID(instance_id))

    def purge(self, instance_id: str) -> None:
        """
        Delete the instance from the server: it is not found from here on.
        """
        with self._state.lock:
            self._state.machine.delete(UUID(instance_id))

    def instance(self, instance_id: str) -> Instance:
        """
        A copy of the instance as it is now.
        """
        with self._state.lock:
            return copy.deepcopy(self._state.machine.instance(UUID(instance_id)))

    # Time, memory, journal

    def advance(self, seconds: float) -> None:
        """
        Move the sandbox's clock forward.
        """
        with self._state.lock:
            self._state.clock.advance(seconds)

    def reset(self) -> None:
        """
        Forget instances, tokens, faults, journal and skipped time; address and credentials stay.
        """
        self._state.reset()

    def journal(self) -> list[RequestRecord]:
        """
        Every request for Keyfactor or its token endpoint so far, oldest first.
        """
        return self._state.journal.records()

    def wait_for_journal(
        self, condition: Callable[[list[RequestRecord]], bool], *, timeout: float = 10.0
    ) -> list[RequestRecord]:
        """
        Wait until the journal fulfils `condition`, and return it; a `TimeoutError` after `timeout` real seconds.
        """
        return self._state.journal.wait_for(condition, timeout=timeout)

    def report(self) -> Report:
        """
        How the clients have behaved so far; its `card()` is for people.
        """
        return build_report(self.journal())

    # Faults and credentials

    def add_fault(self, rule: FaultRule) -> None:
        """
        Put a fault behind those that are in force.
        """
        with self._state.lock:
            self._state.faults.add(rule)

    def be_unkind(self, rate: float) -> None:
        """
        Let about `rate` of the requests meet a fault that a patient client survives, by the sandbox's seed.
        """
        with self._state.lock:
            self._state.faults.replace_plan(None, unkind_rules(rate))

    def clear_faults(self) -> None:
        """
        No faults from here on; what hangs goes on.
        """
        with self._state.lock:
            self._state.faults.clear()

    def break_next(
        self,
        times: int,
        *,
        status: int = 503,
        retry_after: str | None = None,
        endpoints: Iterable[Endpoint | str] | None = None,
    ) -> None:
        """
        Answer the next `times` requests (to these endpoints) with an error status; `retry_after` is sent as it is.
        """
        self.add_fault(
            FaultRule(
                kind=FaultKind.STATUS,
                times=times,
                status=status,
                retry_after=retry_after,
                endpoints=_endpoint_set(endpoints),
            )
        )

    @property
    def outage(self) -> bool:
        """
        Whether every connection is closed without an answer.
        """
        with self._state.lock:
            return self._state.faults.outage

    @outage.setter
    def outage(self, on: bool) -> None:
        with self._state.lock:
            self._state.faults.set_outage(on)

    @property
    def hang(self) -> bool:
        """
        Whether requests get no answer until this is turned off.
        """
        with self._state.lock:
            return self._state.faults.hang

    @hang.setter
    def hang(self, on: bool) -> None:
        with self._state.lock:
            self._state.faults.set_hang(on)

    def forbid(self, instance_id: str | None = None, *, endpoints: Iterable[Endpoint | str] | None = None) -> None:
        """
        Answer 403 to reads of this instance, or of all and to lists; `endpoints` (such as "list") narrows it down.
        """
        rule = FaultRule(
            kind=FaultKind.FORBIDDEN,
            instance_id=None if instance_id is None else UUID(instance_id),
            endpoints=_endpoint_set(endpoints) or READS,
        )
        with self._state.lock:
            self._state.faults.forbid(rule)

    def permit(self) -> None:
        """
        Take back every `forbid`.
        """
        with self._state.lock:
            self._state.faults.permit()

    @property
    def token_lifetime_seconds(self) -> float:
        """
        How long the tokens are good that are given out from here on.
        """
        with self._state.lock:
            return self._state.accounts.token_lifetime_seconds

    @token_lifetime_seconds.setter
    def token_lifetime_seconds(self, seconds: float) -> None:
        with self._state.lock:
            self._state.accounts.token_lifetime_seconds = seconds

    def revoke_tokens(self) -> None:
        """
        End every token that the token endpoint gave out; `access_token` stays good.
        """
        with self._state.lock:
            self._state.accounts.revoke_tokens()

    def _remove_certificate_files(self) -> None:
        if self._certificate_files is not None:
            self._certificate_files.remove()

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._own_app if _is_own_path(scope["path"]) else self._keyfactor_app

        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                # By the clock that `advance` moves, as everything else that the server says.
                date = format_datetime(self._state.clock.now(), usegmt=True).encode()
                message = {**message, "headers": [*message.get("headers", ()), (b"date", date)]}
            await send(message)

        await app(scope, receive, send_dated)


def _is_own_path(path: str) -> bool:
    """
    Whether a request's path is the page's or a control path, and not Keyfactor's.
    """
    return path in {"/", "/sandbox"} or path.startswith("/sandbox/")


def _status_numbers(statuses: str | Mapping[Status, int]) -> Mapping[Status, int] | None:
    match statuses:
        case "words":
            return None
        case "numbers":
            return INVENTED_NUMBERS
        case str():
            raise ValueError(f"statuses are 'words', 'numbers' or a mapping, not {statuses!r}")
    return {status: statuses[status] for status in Status}


def _endpoint_set(endpoints: Iterable[Endpoint | str] | None) -> frozenset[Endpoint] | None:
    return None if endpoints is None else frozenset(Endpoint(endpoint) for endpoint in endpoints)

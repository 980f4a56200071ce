"""
The plan of faults: switches, rules, and that a plan is the same for the same seed.
"""

import itertools
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kf_provider.sandbox import Endpoint, FaultKind, FaultRule, Phase, Sandbox
from kf_provider.sandbox.faults import Faults, Operation, unkind_rules

from .clients import connect


def test_break_next(server: Sandbox, client: httpx.Client) -> None:
    """
    The next requests fail as asked, with Retry-After as it was given; then all is well.
    """
    server.break_next(2, status=429, retry_after="soon")

    responses = [client.get("/Workflow/Instances") for _ in range(3)]

    assert [response.status_code for response in responses] == [429, 429, 200]
    assert responses[0].headers["retry-after"] == "soon"
    assert [record.fault for record in server.journal()] == ["status", "status", None]


def test_break_next_endpoint(server: Sandbox, client: httpx.Client) -> None:
    """
    A fault for lists leaves instances alone.
    """
    instance_id = server.start_enrollment()
    server.break_next(1, endpoints=["list"])

    assert client.get(f"/Workflow/Instances/{instance_id}").status_code == 200
    assert client.get("/Workflow/Instances").status_code == 503


def test_outage(server: Sandbox, client: httpx.Client) -> None:
    """
    In an outage connections end without an answer; the journal has the request, without a status.
    """
    server.outage = True
    with pytest.raises(httpx.TransportError):
        client.get("/Workflow/Instances")
    server.outage = False

    assert client.get("/Workflow/Instances").status_code == 200
    assert [record.status for record in server.journal()] == [None, 200]


def test_hang_until_released(server: Sandbox, client: httpx.Client) -> None:
    """
    A hanging request is answered when the server comes to itself.
    """
    server.hang = True
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(client.get("/Workflow/Instances").status_code))
    thread.start()
    server.wait_for_journal(lambda records: any(record.fault == "hang" for record in records))

    assert answers == []
    server.hang = False
    thread.join(60)

    assert answers == [200]


def test_hang_and_close() -> None:
    """
    A sandbox that hangs can be closed, and the client sees the connection end.
    """
    errors: list[type[Exception]] = []

    def wait_for_ever(server: Sandbox) -> None:
        with connect(server) as patient:
            try:
                patient.get("/Workflow/Instances", timeout=600)
            except httpx.TransportError as exc:
                errors.append(type(exc))

    with Sandbox() as server:
        server.hang = True
        thread = threading.Thread(target=wait_for_ever, args=(server,))
        thread.start()
        server.wait_for_journal(lambda records: len(records) == 1)
    thread.join(60)

    assert len(errors) == 1


def test_forbid(server: Sandbox, client: httpx.Client) -> None:
    """
    Without the permission, reads are 403 in Keyfactor's words.
    """
    server.forbid()
    response = client.get("/Workflow/Instances")

    assert response.status_code == 403
    assert response.json() == {
        "ErrorCode": "0xA0140002",
        "Message": "User KEYEXAMPLE\\pulumi doesn't have the required permission",
    }
    server.permit()
    assert client.get("/Workflow/Instances").status_code == 200


def test_forbid_one(server: Sandbox, client: httpx.Client) -> None:
    """
    One instance, or one endpoint, can be forbidden alone.
    """
    one, other = server.start_enrollment(), server.start_enrollment()
    server.forbid(one)
    server.forbid(endpoints=["list"])

    statuses = [
        client.get(path).status_code
        for path in (f"/Workflow/Instances/{one}", f"/Workflow/Instances/{other}", "/Workflow/Instances")
    ]

    assert statuses == [403, 200, 403]


POLL = Operation(Endpoint.GET, None, "KEYEXAMPLE\\pulumi")


def test_exempting_header(server: Sandbox, client: httpx.Client, path: str) -> None:
    """
    A request can ask to be spared, and uses nothing up.
    """
    server.break_next(1)

    statuses = [client.get(path, headers=headers).status_code for headers in ({"x-sandbox-faults": "off"}, {}, {})]

    assert statuses == [200, 503, 200]


def test_phases(server: Sandbox, client: httpx.Client, path: str) -> None:
    """
    Before the first good answer, while the instance goes on, and after its end.
    """
    server.add_fault(FaultRule(kind=FaultKind.STATUS, status=500, times=1, phases=frozenset({Phase.BEFORE})))
    server.add_fault(FaultRule(kind=FaultKind.STATUS, status=502, times=1, phases=frozenset({Phase.DURING})))
    server.add_fault(FaultRule(kind=FaultKind.STATUS, status=504, times=1, phases=frozenset({Phase.AFTER})))

    statuses = [client.get(path).status_code for _ in range(4)]
    server.approve(path.rpartition("/")[2])
    statuses += [client.get(path).status_code for _ in range(2)]

    assert statuses == [500, 200, 502, 200, 504, 200]


def played(seed: int) -> list[tuple[str, str | None, int | None]]:
    """
    What a simple client meets on an unkind server of this seed.
    """
    with Sandbox(seed=seed, unkind=0.5) as server, connect(server) as client:
        path = f"/Workflow/Instances/{server.start_enrollment()}"
        for _ in range(20):
            try:
                client.get(path)
                client.get("/Workflow/Instances")
            except httpx.TransportError:
                continue
        return [(record.path, record.fault, record.status) for record in server.journal()]


def test_same_seed_same_journal() -> None:
    """
    Two runs of one seed are alike to the last request; another seed is another story.
    """
    one, again, other = played(11), played(11), played(12)

    assert one == again
    assert {fault for _, fault, _ in one if fault} != set()
    assert one != other


def test_plan_over_the_control_path(server: Sandbox, client: httpx.Client, control: httpx.Client, path: str) -> None:
    """
    A seed, rates and a limit, from outside; setting the plan again repeats the sequence.
    """
    plan = {"seed": 3, "most_in_a_row": 1, "rules": [{"kind": "status", "status": 500, "rate": 0.5}]}

    def sequence() -> list[int]:
        assert control.post("/faults", json=plan).json()["seed"] == 3
        return [client.get(path).status_code for _ in range(20)]

    one = sequence()

    assert set(one) == {200, 500}
    assert all(pair != (500, 500) for pair in itertools.pairwise(one))
    assert sequence() == one


@given(
    seed=st.integers(),
    rate=st.floats(0, 1),
    most=st.integers(1, 5),
    kinds=st.lists(st.sampled_from(FaultKind), max_size=4),
)
def test_unkind_is_not_impossible(seed: int, rate: float, most: int, kinds: list[FaultKind]) -> None:
    """
    Whatever the plan, no operation meets more faults in a row than the limit.
    """
    faults = Faults(seed)
    faults.most_in_a_row = most
    for rule in [*(FaultRule(kind=kind) for kind in kinds), *unkind_rules(rate)]:
        faults.add(rule)

    longest = row = 0
    for _ in range(50):
        row = row + 1 if faults.draw(POLL, has_ended=False, has_token=True) else 0
        longest = max(longest, row)

    assert longest <= most


@given(seed=st.integers(), noise=st.integers(0, 5))
def test_other_clients_change_nothing(seed: int, noise: int) -> None:
    """
    The sequence of one operation does not depend on what else is asked meanwhile.
    """
    other = Operation(Endpoint.LIST, None, "KEYEXAMPLE\\other")

    def sequence(between: Callable[[Faults], object]) -> Iterator[FaultRule | None]:
        faults = Faults(seed)
        faults.replace_plan(seed, unkind_rules(0.5))
        for _ in range(20):
            between(faults)
            yield faults.draw(POLL, has_ended=False, has_token=True)

    def disturb(faults: Faults) -> None:
        for _ in range(noise):
            faults.draw(other, has_ended=False, has_token=True)

    assert list(sequence(lambda _: None)) == list(sequence(disturb))


def test_rate_is_about_right() -> None:
    """
    An unkind plan of 0.3 meets about three requests in ten.
    """
    faults = Faults(1)
    faults.replace_plan(1, unkind_rules(0.3))

    met = sum(faults.draw(POLL, has_ended=False, has_token=True) is not None for _ in range(2000))

    assert 0.2 < met / 2000 < 0.32

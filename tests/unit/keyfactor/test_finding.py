"""
The newest instance that matches, among forty of several subjects and dates.
"""

from __future__ import annotations

import random
import threading
import time
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kf_provider.errors import ForbiddenError, NoAnswerError, NotFoundError, RequestError, SearchError
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.finding import Search, is_newest_first, newest_first
from kf_provider.keyfactor.models import Instance, InstanceSummary

from ..loopback import OTHER_ID, Loopback, Reply, Seen, client_for

DEFINITION = "22222222-9d1b-4b7e-8a60-3f5e2d7c1b94"
START = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "canary-41f6"


def instance_id(number: int) -> str:
    return f"0c8f2a54-0000-4000-8000-{number:012d}"


def complete(number: int, *, subject: str = "CN=web", day: float | None = None, **fields: Any) -> dict[str, Any]:
    """An instance that was started so many days after the first one, unless told otherwise its number."""
    return {
        "Id": instance_id(number),
        "Status": "Complete",
        "Title": f"KEYEXAMPLE\\ci is enrolling for a certificate with {subject}.",
        "ReferenceId": 1000 - number,  # no order to rely on
        "StartDate": (START + timedelta(days=number if day is None else day)).isoformat(),
        "Definition": {"Id": DEFINITION, "DisplayName": "Web", "Version": 1, "WorkflowType": "Enrollment"},
        "CurrentStateData": {"Subject": subject, "Token": SECRET},
        **fields,
    }


class Keyfactor:
    """A server with instances, which sorts and pages as asked, or not, and filters nothing."""

    def __init__(self, *instances: dict[str, Any], sorts: bool = True, purged: Mapping[int, int] | None = None) -> None:
        self.instances = [*instances]
        self.sorts = sorts
        self.purged = {instance_id(number): status for number, status in (purged or {}).items()}
        self.read: list[str] = []
        self.in_flight = self.most_in_flight = 0
        self._lock = threading.Lock()

    def __call__(self, request: Seen) -> Reply:
        if "PageReturned" not in request.query:
            return self._one(request.path.rpartition("/")[2])
        found = [*self.instances]
        if self.sorts and request.query.get("SortField") == "StartDate":
            found.sort(key=lambda one: str(one["StartDate"]), reverse=request.query["SortAscending"] == "1")
        size = int(request.query["ReturnLimit"])
        first = (int(request.query["PageReturned"]) - 1) * size
        without = [
            {name: value for name, value in one.items() if name != "CurrentStateData"}
            for one in found[first : first + size]
        ]
        return Reply(without, headers={"x-total-count": str(len(found))})

    def _one(self, wanted: str) -> Reply:
        with self._lock:
            self.read.append(wanted)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        time.sleep(0.005)
        with self._lock:
            self.in_flight -= 1
        if wanted in self.purged:
            return Reply({"ErrorCode": "0x1", "Message": "gone"}, status=self.purged[wanted])
        return Reply(next(one for one in self.instances if one["Id"] == wanted))


def find(server: Loopback, keyfactor: Keyfactor, **wanted: Any) -> str:
    """The number of the instance that is found, with the definition pinned."""
    server.answers = keyfactor
    with client_for(server) as client:
        return client.find_workflow_instance(**{"definition_id": DEFINITION, **wanted}).instance_id


def test_newest_of_forty(server: Loopback) -> None:
    """
    The newest by its start is found, whatever the reference ids and the order in which the server holds them.
    """
    forty = [complete(number, subject=f"CN={'abcd'[number % 4]}") for number in range(40)]
    random.Random(12).shuffle(forty)
    keyfactor = Keyfactor(*forty)

    assert instance_id(38) == find(server, keyfactor, match={"current_state_data.Subject": "CN=c"})
    assert instance_id(36) == find(server, keyfactor, match={"current_state_data.Subject": "CN=a"})
    assert keyfactor.most_in_flight <= 5
    assert len(keyfactor.read) <= 2 * 5


def test_what_is_asked(server: Loopback) -> None:
    """
    The filters go into the query, the newest come first, and Complete enrollments are looked for unless told otherwise.
    """
    find(server, Keyfactor(complete(1)), initiated_by="KEYEXAMPLE\\ci", started_after="2025-12-31T00:00:00Z")

    query = server.seen[0].query
    assert {"PageReturned": "1", "ReturnLimit": "50", "SortField": "StartDate", "SortAscending": "1"} == {
        name: value for name, value in query.items() if name != "QueryString"
    }
    assert (
        f'Status -eq "Complete" AND WorkflowType -eq "Enrollment" AND DefinitionId -eq "{DEFINITION}" AND '
        'InitiatingUserName -eq "KEYEXAMPLE\\ci" AND StartDate -gt "2025-12-31T00:00:00Z"'
    ) == query["QueryString"]


def test_stops_early(server: Loopback) -> None:
    """
    No page is asked for that is not needed; and where the rows tell all that matters, one instance is read.
    """
    keyfactor = Keyfactor(*(complete(number) for number in range(500)))

    assert instance_id(499) == find(server, keyfactor, match={"definition.display_name": "Web"})
    assert 2 == len(server.seen)
    assert [instance_id(499)] == keyfactor.read


def test_all_pages(server: Loopback) -> None:
    """
    One that stands on a later page is found.
    """
    keyfactor = Keyfactor(*(complete(number, Title="other") for number in range(1, 130)), complete(0))

    assert instance_id(0) == find(server, keyfactor, title_contains="CN=web")


def test_many_pages() -> None:
    """
    A list of a hundred pages is judged row by row, once: the time does not grow with the square of the pages.
    """
    rows = [row(number, (START + timedelta(days=number / 100)).isoformat()) for number in range(5000)][::-1]
    judged: list[str] = []

    class Counted(Search):
        def _may_match(self, row: InstanceSummary) -> bool:
            judged.append(row.instance_id)
            return super()._may_match(row)

    search = Counted(
        {"title_contains": "x", "status": "Complete"},
        None,
        lambda _: Instance(instance_id=OTHER_ID),
        server="",
        status_names={},
    )
    for page in range(1, 101):
        assert search.settled(rows[: 50 * page]) is None

    assert 5000 == len(judged)


def test_server_that_does_not_sort(server: Loopback) -> None:
    """
    Rows that do not come in order are all read, and sorted here.
    """
    keyfactor = Keyfactor(*(complete(number) for number in range(120)), sorts=False)

    assert instance_id(119) == find(server, keyfactor)


@pytest.mark.parametrize(
    "odd",
    [
        {"Status": "Rejected"},
        {"Definition": {"Id": OTHER_ID, "WorkflowType": "Enrollment"}},
        {"Definition": {"Id": DEFINITION, "WorkflowType": "Revocation"}},
        {"Title": "CN=mail"},
    ],
)
def test_server_that_ignores_the_query(server: Loopback, odd: dict[str, Any]) -> None:
    """
    A newer row that does not meet the filters is not taken, whatever the server makes of the query.
    """
    keyfactor = Keyfactor(complete(1), complete(2) | odd)

    assert instance_id(1) == find(server, keyfactor, title_contains="CN=web")
    assert [instance_id(1)] == keyfactor.read


def test_purged(server: Loopback) -> None:
    """
    An instance that was purged since the list was made is passed over; one that may not be read is an error.
    """
    match = {"current_state_data.Subject": "CN=web"}

    assert instance_id(1) == find(server, Keyfactor(complete(1), complete(2), purged={2: 404}), match=match)
    with pytest.raises(ForbiddenError):
        find(server, Keyfactor(complete(1), complete(2), purged={2: 403}), match=match)


def test_changed_since_the_list(server: Loopback) -> None:
    """
    What is read counts, not what the list said.
    """
    keyfactor = Keyfactor(complete(1), complete(2))

    def answer(request: Seen) -> Reply:
        reply = keyfactor(request)
        if request.path.endswith(instance_id(2)):
            reply.body = reply.body | {"Status": "CanceledForRestart"}
        return reply

    server.answers = answer
    with client_for(server) as client:
        assert instance_id(1) == client.find_workflow_instance(definition_id=DEFINITION).instance_id


def test_none(server: Loopback) -> None:
    """
    None is an error that says what was looked for, and how many were near; never a value of the match.
    """
    keyfactor = Keyfactor(*(complete(number) for number in range(7)))
    with pytest.raises(NotFoundError) as caught:
        find(server, keyfactor, match={"current_state_data.Token": f"{SECRET}-other"}, initiated_by="KEYEXAMPLE\\ci")

    assert (
        f"no workflow instance on {server.url}/KeyfactorAPI is Complete, workflow_type 'Enrollment', definition_id "
        f"'{DEFINITION}', initiated_by 'KEYEXAMPLE\\\\ci' and has the wanted current_state_data.Token; 7 met the "
        "filters alone: check them, and that this user may list workflow instances"
    ) == str(caught.value)


def test_none_near(server: Loopback) -> None:
    """
    Without a match, nothing was near.
    """
    with pytest.raises(NotFoundError, match=r"no workflow instance on .* is Complete.*; none met the filters: check"):
        find(server, Keyfactor())


@pytest.mark.parametrize("count", [2, 7, 60])
def test_same_moment(server: Loopback, count: int) -> None:
    """
    Two of the same moment are an error with both ids, also where they stand on two pages.
    """
    keyfactor = Keyfactor(*(complete(number, day=900) for number in range(count)), complete(800))
    match = {"reference_id": 999} if count == 60 else {"current_state_data.Subject": "CN=web"}
    if count == 60:
        for one in keyfactor.instances[:1] + keyfactor.instances[59:60]:
            one["ReferenceId"] = 999
        keyfactor.instances[1]["ReferenceId"] = 5

    with pytest.raises(RequestError, match="match and were started at the same moment, 2028-06-19T00:00:00Z") as caught:
        find(server, keyfactor, match=match)
    assert instance_id(0) in str(caught.value)
    assert instance_id(59 if count == 60 else 1) in str(caught.value)


@pytest.mark.parametrize("count", [50, 51, 500])
def test_too_many_candidates(server: Loopback, count: int) -> None:
    """
    Fifty candidates are read and no more; then the error says how to narrow the search.
    """
    keyfactor = Keyfactor(*(complete(number) for number in range(count)))
    expected: tuple[type[Exception], str] = (
        (NotFoundError, "50 met the filters alone")
        if count == 50
        else (RequestError, "more than 50 workflow instances .* narrow the search by started_after, definition_id")
    )
    with pytest.raises(expected[0], match=expected[1]):
        find(server, keyfactor, match={"current_state_data.Subject": "CN=none"})

    assert 50 == len(keyfactor.read) == len(set(keyfactor.read))


def test_any_status(server: Loopback) -> None:
    """
    Without a status the newest is found whatever has become of it.
    """
    assert instance_id(2) == find(server, Keyfactor(complete(1), complete(2, Status="Suspended")), status=None)


def test_named_numbers(server: Loopback) -> None:
    """
    Where the server sends numbers, their names are looked for.
    """
    server.answers = Keyfactor(complete(1, Status=3), complete(2, Status=1))
    with client_for(server, status_names={3: "Complete", 1: "Suspended"}) as client:
        for status, number in (("Complete", 1), ("complete", 1), (3, 1), ("1", 2)):
            found = client.find_workflow_instance(definition_id=DEFINITION, status=status)  # type: ignore[arg-type] # any spelling
            assert instance_id(number) == found.instance_id
    assert 'Status -eq 3 AND WorkflowType -eq "Enrollment"' in server.seen[0].query["QueryString"]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"match": {"titel": "x"}}, "find_workflow_instance: expects 'titel', which no instance has"),
        ({"match": {"title": None}}, "find_workflow_instance: expects None of 'title'"),
        ({"match": ["title"]}, "match is a mapping of paths to values, not a list"),
        ({"status": "Approved"}, "status: 'Approved' is no status of Keyfactor's"),
        ({"started_after": "monday"}, "started_after: 'monday' is not a time"),
        ({"definition_id": "7"}, "definition_id: '7' is not the GUID"),
    ],
)
def test_refused(server: Loopback, client: Client, wanted: dict[str, Any], says: str) -> None:
    """
    What makes no sense is refused before anything is sent.
    """
    with pytest.raises(SearchError, match=says):
        client.find_workflow_instance(**wanted)

    assert [] == server.seen


@pytest.mark.parametrize(
    ("wanted", "is_warned"),
    [
        ({}, True),
        ({"match": {"title": "x"}}, True),
        ({"definition_id": DEFINITION}, False),
        ({"match": {"definition.display_name": "Web"}}, False),
    ],
)
def test_unpinned(server: Loopback, client: Client, wanted: dict[str, Any], is_warned: bool) -> None:
    """
    Without a definition any workflow would do, also one that nobody approves: that is told.
    """
    server.answers = Keyfactor(complete(1, Title="x"))
    told: list[str] = []
    client.find_workflow_instance(**wanted, warn=told.append)

    assert is_warned == any("also of one that nobody approves" in text for text in told)


def test_warns_where_it_was_asked(server: Loopback, client: Client) -> None:
    """
    Without `warn`, Python's warning names the line that asked.
    """
    server.answers = Keyfactor(complete(1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client.find_workflow_instance()

    assert [__file__] == [warning.filename for warning in caught]


def test_one_deadline(server: Loopback, client: Client) -> None:
    """
    Its GETs have the deadline of the call, although they run in threads of their own.
    """
    keyfactor = Keyfactor(*(complete(number) for number in range(40)))

    def slow(request: Seen) -> Reply:
        if "PageReturned" not in request.query:
            time.sleep(0.2)
        return keyfactor(request)

    server.answers = slow
    with pytest.raises(NoAnswerError):
        client.find_workflow_instance(
            definition_id=DEFINITION, match={"current_state_data.Subject": "none"}, timeout=0.5
        )

    assert len(keyfactor.read) < 40  # which would take eight seconds, five at a time less than two


def row(number: int, start: str | None) -> InstanceSummary:
    return InstanceSummary.model_validate({"Id": instance_id(number), "StartDate": start})


def test_order_of_start() -> None:
    """
    A row without a date is the oldest.
    """
    rows = [row(1, None), row(2, "2026-01-01T00:00:00Z"), row(3, "2026-02-01T00:00:00Z")]

    assert [instance_id(3), instance_id(2), instance_id(1)] == [one.instance_id for one in newest_first(rows)]
    assert is_newest_first(newest_first(rows))
    assert not is_newest_first(rows)

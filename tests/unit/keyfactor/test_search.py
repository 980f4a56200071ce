"""
What instances are searched by, and what that is in Keyfactor's query language.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from kf_provider.errors import SearchError
from kf_provider.functions import FilterInputs
from kf_provider.keyfactor import search
from kf_provider.keyfactor.client import Client

from ..loopback import ID, INSTANCE, OTHER_ID, Loopback, Reply, client_for


def test_every_filter_has_its_condition() -> None:
    """
    What the functions, their `_output` twins and the query know are the same filters.
    """
    names = search.Filters.__annotations__.keys()

    assert names == FilterInputs.__annotations__.keys() == search._CONDITIONS.keys() | {"query"}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"query": 'Status -eq "Suspended"'}, 'Status -eq "Suspended"'),
        ({"status": "suspended"}, 'Status -eq "Suspended"'),
        ({"status": 3}, "Status -eq 3"),
        ({"status": "3"}, "Status -eq 3"),
        ({"definition_id": OTHER_ID}, f'DefinitionId -eq "{OTHER_ID}"'),
        ({"ids": [ID]}, f'Id -eq "{ID}"'),
        ({"ids": [ID, OTHER_ID]}, f'Id -eq "{ID}" OR Id -eq "{OTHER_ID}"'),
        (
            {"ids": [ID, OTHER_ID], "status": "Failed"},
            f'(Id -eq "{ID}" OR Id -eq "{OTHER_ID}") AND Status -eq "Failed"',
        ),
        ({"title_contains": "CN=web & more"}, 'Title -contains "CN=web & more"'),
        ({"workflow_type": "Enrollment"}, 'WorkflowType -eq "Enrollment"'),
        ({"initiated_by": "KEYEXAMPLE\\jsmith"}, 'InitiatingUserName -eq "KEYEXAMPLE\\jsmith"'),
        ({"reference_id": 42}, "ReferenceId -eq 42"),
        ({"started_after": "2026-01-31"}, 'StartDate -gt "2026-01-31T00:00:00Z"'),
        ({"started_after": datetime(2026, 1, 31, 12)}, 'StartDate -gt "2026-01-31T12:00:00Z"'),  # noqa: DTZ001, RUF100
        (
            {"started_after": datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))},
            'StartDate -gt "2026-01-31T10:00:00Z"',
        ),
        ({"status": "Failed", "reference_id": 42}, 'Status -eq "Failed" AND ReferenceId -eq 42'),
        ({"query": "A -eq 1 OR B -eq 2", "status": "Failed"}, '(A -eq 1 OR B -eq 2) AND Status -eq "Failed"'),
        ({"query": " "}, None),
    ],
)
def test_list_query(server: Loopback, client: Client, conditions: dict[str, Any], expected: str | None) -> None:
    """
    Conditions are put into Keyfactor's query language: text in quotation marks, numbers bare, joined by AND.
    """
    server.answers = [Reply([])]
    client.list_workflow_instances(**conditions)

    assert expected == server.seen[0].query.get("QueryString")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Suspended", "Status -eq 1"),
        ("suspended", "Status -eq 1"),
        ("Complete", "Status -eq 2 OR Status -eq 5"),
        ("Failed", 'Status -eq "Failed"'),
        (1, "Status -eq 1"),
    ],
)
def test_list_query_of_named_numbers(server: Loopback, status: Any, expected: str) -> None:
    """
    Where the server sends numbers, a word is asked for by the numbers that `status_names` gives to it.
    """
    server.answers = [Reply([INSTANCE | {"Status": 1}])]
    with client_for(server, status_names={1: "Suspended", 2: "Complete", 5: "Complete"}) as client:
        (row,) = client.list_workflow_instances(status=status)

    assert (expected, "Suspended") == (server.seen[0].query["QueryString"], row.status)


def test_unknown_filter(server: Loopback, client: Client) -> None:
    """
    A filter that there is not is an error, as any unknown keyword in Python, and nothing is sent.
    """
    with pytest.raises(TypeError, match="unexpected keyword argument 'state': instances are listed by status, title_"):
        client.list_workflow_instances(state="Suspended")  # type: ignore[call-arg]  # what is tested

    assert [] == server.seen


@pytest.mark.parametrize(
    "conditions",
    [
        {"title_contains": 'CN="web"'},
        {"title_contains": 'x" OR Status -eq "Complete'},
        {"title_contains": ""},
        {"initiated_by": "a\nb"},
        {"status": True},
        {"started_after": "yesterday"},
        {"reference_id": 4.2},
        {"reference_id": '42 OR Id -ne "'},
        {"reference_id": -1},
        {"reference_id": 10**400},
        {"reference_id": True},
        {"status": "Pending"},
        {"status": "Completed"},
        {"status": ""},
        {"status": -1},
        {"status": 1.5},
        {"definition_id": "Global Enrollment"},
        {"definition_id": 7},
        {"ids": []},
        {"ids": ["42"]},
        {"ids": 42},
        {"ids": [ID, None]},
        {"workflow_type": 1},
        {"title_contains": 1},
        {"query": 1},
        {"limit": 0},
        {"limit": -1},
        {"limit": 1.5},
        {"limit": "5"},
        {"limit": True},
    ],
)
def test_list_query_impossible(server: Loopback, client: Client, conditions: dict[str, Any]) -> None:
    """
    What cannot be put into the query language, or what no instance can have, is refused before anything is sent.
    """
    with pytest.raises(SearchError) as caught:
        client.list_workflow_instances(**conditions)

    assert isinstance(caught.value, ValueError)
    assert [] == server.seen


def test_list_of_no_status(server: Loopback, client: Client) -> None:
    """
    A word that is no status of Keyfactor's is an error that has them all.
    """
    expected = (
        "status: 'Pending' is no status of Keyfactor's, so nothing has it: give Running, Suspended, Complete, Rejected,"
        " Failed or CanceledForRestart"
    )
    with pytest.raises(SearchError) as caught:
        client.list_workflow_instances(status="Pending")  # type: ignore[arg-type]  # what is tested

    assert expected == str(caught.value)


@pytest.mark.parametrize("given", ["Enrolment", "enrollments", "Enroll", "CertificateEnrollment", "Revokation"])
def test_list_of_nearly_a_workflow_type(server: Loopback, client: Client, given: str) -> None:
    """
    What is nearly one of Keyfactor's types is asked for as it is, and warned of where the list was asked for.
    """
    server.answers = [Reply([])]
    with pytest.warns(UserWarning, match=f"workflow_type: '{given}' is no type that Keyfactor documents; '") as caught:
        client.list_workflow_instances(workflow_type=given)

    assert [__file__] == [warning.filename for warning in caught]
    assert f'WorkflowType -eq "{given}"' == server.seen[0].query["QueryString"]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("enrollment", "Enrollment"),
        (" Expiration ", "Expiration"),
        ("CERTIFICATELEFTCOLLECTION", "CertificateLeftCollection"),
        ("KeyRotation", "KeyRotation"),
        ("RevocationMonitoring", "RevocationMonitoring"),
    ],
)
def test_list_of_a_workflow_type(server: Loopback, client: Client, given: str, sent: str) -> None:
    """
    A type is asked for in Keyfactor's spelling; one of a later version goes as it is, without a warning.
    """
    server.answers = [Reply([])]
    client.list_workflow_instances(workflow_type=given)

    assert f'WorkflowType -eq "{sent}"' == server.seen[0].query["QueryString"]

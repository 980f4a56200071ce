"""
Query strings, without a server.
"""

from datetime import UTC, datetime

import pytest

from kf_provider.sandbox.query import Fields, QueryError, parse_query
from kf_provider.sandbox.wire import QUERY_FIELDS

FIELDS: Fields = {
    "DefinitionId": "1f",
    "Id": "2a",
    "InitiatingUserName": "KEYEXAMPLE\\jsmith",
    "LastModified": datetime(2026, 1, 2, tzinfo=UTC),
    "ReferenceId": 7,
    "StartDate": None,
    "Status": "Suspended",
    "Title": 'a "web" certificate',
    "WorkflowType": "Enrollment",
}


@pytest.mark.parametrize(
    "query",
    [
        "",
        " ",
        'Status -eq "Suspended"',
        'status -EQ "suspended"',
        'InitiatingUserName -eq "KEYEXAMPLE\\jsmith"',
        'Title -contains "\\"web\\""',
        "ReferenceId -ge 7 AND ReferenceId -le 7 AND ReferenceId -gt 6 AND ReferenceId -lt 8",
        'ReferenceId -eq "7"',
        'LastModified -gt "2026-01-01T23:59:59.9999999Z"',
        'LastModified -ge "2026-01-02"',
        'Title -startswith "A " and Title -endswith "certificate" and Title -notcontains "revoc"',
        'Id -eq "1a" OR Id -eq "2a"',
        '((Id -eq "2a" and Status -ne "Complete"))',
        'Id -eq "2a" OR Id -eq "1a" AND Id -eq "3a"',
        "StartDate -eq NULL AND Id -ne NULL",
        'StartDate -ne "2026-01-01"',
    ],
)
def test_holds(query: str) -> None:
    """
    Queries that hold for the example.
    """
    assert parse_query(query, QUERY_FIELDS)(FIELDS)


@pytest.mark.parametrize(
    "query",
    [
        'Status -ne "Suspended"',
        "ReferenceId -gt 7",
        '(Id -eq "2a" OR Id -eq "1a") AND Id -eq "3a"',
        'StartDate -gt "2026-01-01"',
        "StartDate -ne NULL",
        "Id -eq NULL",
        "Title -contains NULL",
    ],
)
def test_does_not_hold(query: str) -> None:
    """
    Queries that do not.
    """
    assert not parse_query(query, QUERY_FIELDS)(FIELDS)


@pytest.mark.parametrize(
    "query",
    [
        "Status",
        "Status -eq",
        "Status -is 1",
        'Password -eq "x"',
        '"Status" -eq "x"',
        "ReferenceId -eq x",
        'StartDate -gt "yesterday"',
        'StartDate -contains "2026"',
        '(Id -eq "1"',
        '(Id -eq "1" Id',
        'Id -eq "1")',
        'Id -eq "1" Id -eq "2"',
        'Id -eq "1" AND',
        "Id -eq (",
        'Id -eq "1',
    ],
)
def test_not_understood(query: str) -> None:
    """
    What is wrong is said, not ignored.
    """
    with pytest.raises(QueryError):
        parse_query(query, QUERY_FIELDS)

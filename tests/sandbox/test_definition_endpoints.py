"""
What a client reads of workflow definitions, in both versions of the API.
"""

import asyncio
from typing import Any

import httpx

from kf_provider.sandbox import Dialect
from kf_provider.sandbox.definitions import ApprovalStep, workflow_definition
from kf_provider.sandbox.keyfactor_app import KeyfactorApp
from kf_provider.sandbox.state import SandboxState
from kf_provider.sandbox.wire import Wire


def test_definitions(client: httpx.Client) -> None:
    """
    The built-in workflows exist, run from StartNOOP to EndNOOP, and name the roles that approve.
    """
    listed = client.get("/Workflow/Definitions").json()
    definition = client.get(f"/Workflow/Definitions/{listed[0]['Id']}").json()

    assert [row["DisplayName"] for row in listed] == ["Global Enrollment", "Global Revocation"]
    assert [step["UniqueName"] for step in definition["Steps"]] == [
        "StartNOOP",
        "RequireApproval1",
        "EnrollStep1",
        "EndNOOP",
    ]
    assert definition["Steps"][1]["Signals"] == [{"SignalName": "ApprovalStatus", "RoleIds": [2]}]
    assert definition["Steps"][0]["Outputs"] == {"continue": "RequireApproval1"}
    assert definition["Steps"][-1]["Outputs"] == {}


def test_unknown_definition(client: httpx.Client) -> None:
    """
    404, as for instances.
    """
    assert client.get("/Workflow/Definitions/3b1f0a3e-5f0a-4c0e-9d52-0d9f1c6f5a11").status_code == 404


def two_versions(*asked: dict[str, Any]) -> list[httpx.Response]:
    """
    What Command 25 answers, in API version 2, about a definition with two versions; the second has one more role.
    """
    state = SandboxState(seed=7, wire=Wire(Dialect.COMMAND_25))
    definition_id = state.new_id()
    for version, roles in enumerate([{2}, {2, 7}], start=1):
        state.machine.publish(
            workflow_definition(
                "Web servers",
                workflow_type="Enrollment",
                approval_steps=[ApprovalStep(role_ids=frozenset(roles))],
                new_id=state.new_id,
                key="WebServer",
                definition_id=definition_id,
                version=version,
            )
        )

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(KeyfactorApp(state, "KeyfactorAPI")),
            base_url="http://keyfactor.example.com/KeyfactorAPI",
            auth=(state.default_account.username, state.default_account.password),
            headers={"x-keyfactor-requested-with": "APIClient", "x-keyfactor-api-version": "2"},
        ) as client:
            return [await client.get(f"/Workflow/Definitions/{definition_id}", params=params) for params in asked]

    return asyncio.run(ask())


def test_definition_version_2() -> None:
    """
    In version 2 of the API a signal names its roles, with ids that are strings, and the keys are a list.
    """
    definition = two_versions({})[0].json()

    assert [
        {
            "SignalName": "ApprovalStatus",
            "Roles": [
                {"RoleId": "2", "RoleName": "PKI Administrators"},
                {"RoleId": "7", "RoleName": "Role 7"},
            ],
            "RoleTokens": [],
        }
    ] == definition["Steps"][1]["Signals"]
    assert [{"DisplayName": "WebServer", "Value": "WebServer"}] == definition["Keys"]
    assert set() == {"Key", "KeyDisplayName"} & set(definition)


def test_definition_without_key_version_2(client: httpx.Client) -> None:
    """
    A global workflow has no keys.
    """
    definition_id = client.get("/Workflow/Definitions").json()[0]["Id"]
    response = client.get(f"/Workflow/Definitions/{definition_id}", headers={"x-keyfactor-api-version": "2"})

    assert [] == response.json()["Keys"]


def test_version_of_a_definition() -> None:
    """
    The latest version unless definitionVersion picks one; 404 if there is no such version, 400 if there cannot be.
    """
    answers = two_versions({}, *({"definitionVersion": version} for version in (1, 2, 3, 0)))

    assert [200, 200, 200, 404, 400] == [answer.status_code for answer in answers]
    assert [2, 1, 2] == [answer.json()["DraftVersion"] for answer in answers[:3]]
    assert [2, 1, 2] == [len(answer.json()["Steps"][1]["Signals"][0]["Roles"]) for answer in answers[:3]]

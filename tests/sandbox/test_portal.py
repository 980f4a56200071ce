"""
The page, and what it reads.
"""

import re

import httpx
import pytest

from kf_provider.sandbox import Sandbox
from kf_provider.sandbox.portal import PAGE_FILES

ABSENT = "3b1f0a3e-5f0a-4c0e-9d52-0d9f1c6f5a11"


def test_page_is_whole_and_strict(server: Sandbox, control: httpx.Client) -> None:
    """
    The page and all that it names come from the sandbox itself, with a policy that allows nothing else.
    """
    page = httpx.get(f"{server.url}/", trust_env=False)
    named = re.findall(r'(?:src|href)="([^"#]+)"', page.text)

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert named
    for name in named:
        file = httpx.get(server.url + name, trust_env=False)
        assert file.status_code == 200
        assert file.headers["x-content-type-options"] == "nosniff"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", page.text)
    for name in PAGE_FILES:
        text = control.get(f"/page/{name}").text
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
        assert "innerHTML" not in text
    assert control.get("/page/../portal.py").status_code == 404


def test_page_is_no_client(server: Sandbox, control: httpx.Client) -> None:
    """
    What the page asks is not in the journal, and no fault meets it.
    """
    server.outage = True

    assert httpx.get(f"{server.url}/", trust_env=False).status_code == 200
    assert control.get("/instances").status_code == 200
    assert server.journal() == []


def test_list(server: Sandbox, control: httpx.Client) -> None:
    """
    The newest first, without data; filters by status and by the title's text in any case.
    """
    done = server.start_enrollment("CN=a.keyexample.com", approvals=0)
    waiting = server.start_enrollment("CN=Straße.keyexample.com", approvals=[2, 1], state_data={"Key": "secret"})
    server.approve(waiting)

    whole = control.get("/instances")
    content = whole.json()

    assert [row["instance_id"] for row in content["instances"]] == [waiting, done]
    assert (content["total"], content["waiting"]) == (2, 1)
    row = content["instances"][0]
    assert (row["status"], row["step"]) == ("Suspended", "Manager approval")
    assert (row["received"], row["needed"]) == (1, 2)
    assert "secret" not in whole.text
    assert whole.headers["content-type"] == "application/json"
    for query, expected in [
        ("status=Complete", [done]),
        ("status=Complete&status=Suspended", [waiting, done]),
        ("status=Failed", []),
        ("contains=STRASSE", [waiting]),
        ("status=Complete&contains=stra", []),
    ]:
        rows = control.get(f"/instances?{query}").json()["instances"]
        assert [row["instance_id"] for row in rows] == expected, query
    assert control.get("/instances?status=Approved").status_code == 400


def test_unchanged_is_not_sent_again(server: Sandbox, control: httpx.Client) -> None:
    """
    An answer that the page has is not sent again; the sandbox's time comes along all the same.
    """
    instance_id = server.start_enrollment()
    for path in ("/instances", f"/instances/{instance_id}"):
        first = control.get(path)
        server.advance(60)
        second = control.get(path, headers={"If-None-Match": first.headers["etag"]})

        assert (second.status_code, second.content) == (304, b"")
        assert second.headers["x-sandbox-now"] > first.headers["x-sandbox-now"]
    server.approve(instance_id)
    assert control.get(path, headers={"If-None-Match": first.headers["etag"]}).status_code == 200


def test_detail(server: Sandbox, control: httpx.Client) -> None:
    """
    Steps, signals, history, and what may be done.
    """
    instance_id = server.start_enrollment(approvals=[2, 1])
    server.approve(instance_id, "fine")

    shown = control.get(f"/instances/{instance_id}").json()

    assert [(step["name"], step["place"]) for step in shown["steps"]] == [
        ("Start", "done"),
        ("Manager approval", "current"),
        ("PKI approval", "ahead"),
        ("Enroll", "ahead"),
        ("End", "ahead"),
    ]
    assert shown["signals"] == [
        {
            "name": "ApprovalStatus",
            "received": True,
            "denied": False,
            "sender": "KEYEXAMPLE\\approver1",
            "comment": "fine",
        },
        {"name": "ApprovalStatus", "received": False, "denied": False, "sender": None, "comment": ""},
    ]
    assert shown["history"][-1]["text"] == "approved by KEYEXAMPLE\\approver1: fine"
    assert shown["possible"] == ["approve", "deny", "stop", "restart"]
    assert control.get(f"/instances/{ABSENT}").status_code == 404
    assert control.get("/instances/7").status_code == 404


@pytest.mark.parametrize(
    ("method", "possible", "place"),
    [("complete", [], "done"), ("deny", [], "ended"), ("fail", ["restart"], "ended"), ("restart", [], "ended")],
)
def test_what_is_possible(server: Sandbox, control: httpx.Client, method: str, possible: list[str], place: str) -> None:
    """
    Exactly what the machine would not refuse is offered.
    """
    instance_id = server.start_enrollment()
    getattr(server, method)(instance_id)
    shown = control.get(f"/instances/{instance_id}").json()

    assert shown["possible"] == possible
    assert place in {step["place"] for step in shown["steps"]}
    for action in {"approve", "deny", "stop", "restart"} - set(possible):
        assert control.post(f"/instances/{instance_id}/{action}").status_code == 409


def test_hidden_values(server: Sandbox, control: httpx.Client) -> None:
    """
    Only names that the documents list are shown; others come when they are asked for by name.
    """
    odd = {"Output": {"token": "s3cr3t"}, "a&b=c": "other", "Half": "\ud800", "Nothing": None, "Comment": "said"}
    instance_id = server.start_enrollment(state_data=odd)

    plain = control.get(f"/instances/{instance_id}")
    asked = control.get(f"/instances/{instance_id}", params={"reveal": ["Output", "a&b=c", "Half", "absent"]})

    assert "s3cr3t" not in plain.text
    hidden = {row["name"] for row in plain.json()["data"] if row["hidden"]}
    assert hidden == {"Output", "a&b=c", "Half"}
    assert all(("text" in row) is not row["hidden"] for row in plain.json()["data"])
    texts = {row["name"]: row["text"] for row in asked.json()["data"]}
    assert texts["Output"] == '{\n  "token": "s3cr3t"\n}'
    assert (texts["a&b=c"], texts["Half"], texts["Comment"]) == ("other", "\ud800", "said")


def test_form_has_the_limit_of_the_server(server: Sandbox, control: httpx.Client) -> None:
    """
    As many approvals as the form takes are started, and one more is refused.
    """
    found = re.search(r'id="approvals"[^>]* min="(\d+)" max="(\d+)"', httpx.get(f"{server.url}/", trust_env=False).text)
    assert found is not None
    least, most = map(int, found.groups())
    asked = [least - 1, least, most, most + 1]
    codes = [control.post("/enrollments", json={"subject": "CN=a", "approvals": count}).status_code for count in asked]

    assert [400, 201, 201, 400] == codes

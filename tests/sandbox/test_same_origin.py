"""
Who may ask the control paths: programs and the page itself, and no web page of another site.
"""

import httpx
import pytest

from kf_provider.sandbox import Sandbox


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost:9000"},
        {"Host": "LocalHost"},
        {"Host": "127.8.9.10:1"},
        {"Host": "[::1]:8080"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json"},
        {"Host": "localhost:9000", "Origin": "http://localhost:9000", "Sec-Fetch-Site": "same-origin"},
        {"Host": "127.0.0.1:9000", "Origin": "https://127.0.0.1:9000", "Content-Type": "application/json"},
    ],
)
def test_programs_and_the_page_itself_may(server: Sandbox, control: httpx.Client, headers: dict[str, str]) -> None:
    """
    What curl, other programs and the page send is let through, also behind a forwarded port.
    """
    instance_id = server.start_enrollment()

    response = control.post(f"/instances/{instance_id}/approve", content=b'{"comment": "x"}', headers=headers)

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "attacker.example"}, 403),
        ({"Host": "attacker.example:80"}, 403),
        ({"Host": "127.0.0.1.attacker.example"}, 403),
        ({"Host": "localhost.attacker.example"}, 403),
        ({"Host": "192.0.2.1"}, 403),
        ({"Host": "0.0.0.0"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://attacker.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Host": "127.0.0.1:9000", "Origin": "http://127.0.0.1:9001"}, 403),
        ({"Host": "127.0.0.1:9000", "Origin": "http://localhost:9000"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain;charset=UTF-8"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
    ],
)
def test_foreign_pages_may_not(server: Sandbox, control: httpx.Client, headers: dict[str, str], status: int) -> None:
    """
    What only a page of another site sends changes nothing.
    """
    instance_id = server.start_enrollment()

    response = control.post(f"/instances/{instance_id}/approve", content=b"{}", headers=headers)

    assert response.status_code == status
    assert response.json()["error"]
    assert server.instance(instance_id).status == "Suspended"


def test_foreign_names_may_not_read(server: Sandbox, control: httpx.Client) -> None:
    """
    A foreign name for 127.0.0.1 gets neither the page nor the journal nor an instance.
    """
    instance_id = server.start_enrollment()
    for path in ("/", "/sandbox/instances", f"/sandbox/instances/{instance_id}", "/sandbox/journal"):
        response = httpx.get(server.url + path, headers={"Host": "attacker.example"}, trust_env=False)
        assert response.status_code == 403, path
        assert "access-control-allow-origin" not in response.headers


def test_no_preflight_is_granted(server: Sandbox, control: httpx.Client) -> None:
    """
    A browser that asks whether a foreign page may send JSON is told no.
    """
    response = control.options(
        "/enrollments",
        headers={"Origin": "http://attacker.example", "Access-Control-Request-Method": "POST"},
    )

    assert response.status_code == 403
    assert not [name for name in response.headers if name.startswith("access-control-")]

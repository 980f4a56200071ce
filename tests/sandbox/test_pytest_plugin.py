"""
The fixtures for users' own tests, in runs of pytest of their own.
"""

from importlib.metadata import entry_points
from pathlib import Path

import pytest

import kf_provider
import kf_provider.sandbox

pytest_plugins = ["pytester"]


@pytest.fixture
def user(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """
    A user's project: warnings are errors, markers are strict; the developer has a Keyfactor of their own.
    """
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers -p no:cacheprovider\n")
    home = pytester.mkdir("home")
    profiles = home / ".keyfactor" / "command_config.json"
    profiles.parent.mkdir()
    profiles.write_text('{"servers": {"default": {"host": "real.example", "access_token": "real"}}}')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("KEYFACTOR_HOSTNAME", "real.example")
    monkeypatch.setenv("KEYFACTOR_AUTH_ACCESS_TOKEN", "real")
    monkeypatch.setenv("KEYFACTOR_AUTH_CONFIG_PROFILE", "default")
    return pytester


def run(user: pytest.Pytester, source: str, *arguments: str, **outcomes: int) -> str:
    """
    What a run of one test module prints; it must come to these outcomes.
    """
    user.makepyfile(source)
    result = user.runpytest_subprocess(*arguments)
    result.assert_outcomes(**outcomes)
    return result.stdout.str()


def test_entry_point() -> None:
    """
    pytest finds the plugin by itself.
    """
    (plugin,) = entry_points(group="pytest11", name="keyfactor-sandbox")

    assert plugin.value == "kf_provider.sandbox.pytest_plugin"


def test_sandbox_and_environment(user: pytest.Pytester) -> None:
    """
    A client that takes its settings from the environment speaks to the sandbox, and to nothing of the developer's.
    """
    run(
        user,
        """
        import os
        import kf_provider as kf

        def test_gate(keyfactor_sandbox):
            settings = kf.load_settings()
            assert "real" not in str({n: v for n, v in os.environ.items() if n.startswith("KEYFACTOR_")})
            assert settings.access_token is None
            instance_id = keyfactor_sandbox.start_enrollment("CN=shop")
            client = kf.Client(settings)
            assert client.get_workflow_instance(instance_id).status == "Suspended"
            keyfactor_sandbox.approve(instance_id)
            assert client.get_workflow_instance(instance_id).status == "Complete"
            assert len(keyfactor_sandbox.journal()) == 2

        def test_afterwards():
            assert os.environ["KEYFACTOR_HOSTNAME"] == "real.example"
            assert os.environ["KEYFACTOR_AUTH_ACCESS_TOKEN"] == "real"
            assert "KEYFACTOR_AUTH_CONFIG_FILE" not in os.environ
        """,
        passed=2,
    )


def test_marker_says_how_the_sandbox_is_made(user: pytest.Pytester) -> None:
    """
    The options of `Sandbox`; the nearest marker wins, and TLS is verified with the sandbox's own authority.
    """
    run(
        user,
        """
        import pytest
        import kf_provider as kf

        pytestmark = pytest.mark.keyfactor_sandbox(seed=5, statuses="numbers")

        @pytest.mark.keyfactor_sandbox(dialect="11", tls="valid", seed=6)
        def test_it(keyfactor_sandbox):
            assert keyfactor_sandbox.url.startswith("https://")
            assert keyfactor_sandbox.seed == 6
            instance_id = keyfactor_sandbox.start_enrollment()
            assert kf.Client(kf.load_settings()).get_workflow_instance(instance_id).status == "1"
        """,
        passed=1,
    )


# Notes what the sandbox answered to the same ten requests.
UNKIND = """
    import base64
    import http.client
    import os
    import pytest

    {marker}
    def test_it(unkind_keyfactor_sandbox):
        server = unkind_keyfactor_sandbox
        instance_id = server.start_enrollment()
        token = base64.b64encode(f"{server.username}:{server.password}".encode()).decode()
        headers = {"Authorization": "Basic " + token, "x-keyfactor-requested-with": "APIClient"}
        for _ in range(10):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            try:
                connection.request("GET", f"/KeyfactorAPI/Workflow/Instances/{instance_id}", headers=headers)
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
        faults = [record.fault for record in server.journal()]
        with open(os.environ["FAULTS"], "a") as noted:
            noted.write(f"{server.seed} {faults}\\n")
        assert len(faults) == 10
"""


def test_seeds(user: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A test runs once for each seed, and the same seed gives the same faults.
    """
    source = UNKIND.replace("{marker}", "")
    runs = []
    for name in ("one", "other"):
        monkeypatch.setenv("FAULTS", str(tmp_path / name))
        printed = run(user, source, "-v", passed=3)
        runs.append((tmp_path / name).read_text().splitlines())

    assert runs[0] == runs[1]
    assert [line.partition(" ")[0] for line in runs[0]] == ["1", "2", "3"]
    assert len({line.partition(" ")[2] for line in runs[0]}) == 3
    assert "status" in "".join(runs[0])
    assert "test_it[seed=2] PASSED" in printed


@pytest.mark.parametrize(
    ("ini", "marker", "arguments", "expected"),
    [
        ("keyfactor_seeds = 7 8", "", [], ["7", "8"]),
        ("keyfactor_seeds = 7 8", "@pytest.mark.keyfactor_seeds(9)", [], ["9"]),
        ("", "@pytest.mark.keyfactor_seeds(9)", ["--keyfactor-seed=4", "--keyfactor-seed=5"], ["4", "5"]),
        ("keyfactor_fault_rate = 0", "@pytest.mark.keyfactor_seeds(9)", [], ["9"]),
    ],
)
def test_choice_of_seeds(
    user: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    ini: str,
    marker: str,
    arguments: list[str],
    expected: list[str],
) -> None:
    """
    The command line wins over the marker, and that over the ini file; a rate of 0 means no fault.
    """
    user.makeini(f"[pytest]\nfilterwarnings = error\n{ini}\n")
    noted = tmp_path / "noted"
    monkeypatch.setenv("FAULTS", str(noted))

    run(user, UNKIND.replace("{marker}", marker), *arguments, passed=len(expected))

    assert [line.partition(" ")[0] for line in noted.read_text().splitlines()] == expected
    assert ("status" not in noted.read_text()) is ("rate = 0" in ini)


def test_failure_tells_the_seed(user: pytest.Pytester) -> None:
    """
    With a failed test come its seed, and what the sandbox has seen of the client.
    """
    printed = run(
        user,
        """
        import pytest

        @pytest.mark.keyfactor_seeds(41)
        def test_it(unkind_keyfactor_sandbox):
            assert False
        """,
        failed=1,
    )

    assert "unkind_keyfactor_sandbox (seed 41)" in printed
    assert "polled faster than 1/s: 0" in printed


@pytest.mark.parametrize(("missing", "options"), [("starlette", ""), ("trustme", 'tls="valid"')])
def test_without_the_extra(user: pytest.Pytester, missing: str, options: str) -> None:
    """
    Without what the extra brings, the test's error is one line that says how to get it.
    """
    user.makeconftest(f"import sys\nsys.modules[{missing!r}] = None\n")

    printed = run(
        user,
        f"""
        import pytest

        @pytest.mark.keyfactor_sandbox({options})
        def test_it(keyfactor_sandbox):
            pass
        """,
        errors=1,
    )

    assert f"needs {missing}: pip install 'kf-provider[sandbox]'" in printed
    assert "Error:" not in printed


def test_documented(user: pytest.Pytester) -> None:
    """
    `pytest --fixtures`, `--markers` and `--help` tell of them.
    """
    fixtures = user.runpytest_subprocess("--fixtures").stdout.str()
    markers = user.runpytest_subprocess("--markers").stdout.str()
    options = user.runpytest_subprocess("--help").stdout.str()

    assert "keyfactor_sandbox -- " in fixtures
    assert "A Keyfactor Command in memory" in fixtures
    assert "@pytest.mark.keyfactor_sandbox(**options)" in markers
    assert "--keyfactor-seed" in options
    assert "keyfactor_fault_rate" in options


def test_costs_nothing_where_it_is_not_used(user: pytest.Pytester) -> None:
    """
    In a run that uses no fixture of it, the plugin has brought in nothing but itself.
    """
    run(
        user,
        """
        import sys

        def test_it(request):
            assert request.config.pluginmanager.has_plugin("keyfactor-sandbox")
            assert sorted(name for name in sys.modules if name.partition(".")[0] == "kf_provider") == [
                "kf_provider", "kf_provider.sandbox", "kf_provider.sandbox.pytest_plugin"
            ]
            brought = {"pulumi", "grpc", "requests", "pydantic", "starlette", "fastapi", "uvicorn", "click"}
            assert not brought & sys.modules.keys()
        """,
        passed=1,
    )


def test_public_names_are_there() -> None:
    """
    Names that are imported when they are used: all of them can be, and no others.
    """
    for package in (kf_provider, kf_provider.sandbox):
        for name in package.__all__:
            assert getattr(package, name) is not None
        with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
            package.Nothing  # noqa: B018

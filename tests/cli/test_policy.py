"""
`kf policy check`.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from kf_provider.policy import Finding
from kf_provider.policy.configuration import PolicyConfig
from kf_provider.policy.parameters import ABOUT

from .conftest import Kf

URN = "urn:pulumi:prod::shop::tls:index/selfSignedCert:SelfSignedCert::web"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:x:canary"}


def state(name: str = "web") -> dict[str, Any]:
    """
    A state with a certificate that waits for nothing, registered by a library for a line of the program.
    """
    resource = {
        "urn": URN.replace("::web", f"::{name}"),
        "type": "tls:index/selfSignedCert:SelfSignedCert",
        "custom": True,
        "inputs": {"privateKeyPem": SECRET},
        "sourcePosition": "project:///venv/lib/python3.11/site-packages/house/certificates.py#7",
        "stackTrace": [{"sourcePosition": "project:///stacks/__main__.py#13,4"}],
    }
    return {"version": 3, "deployment": {"resources": [resource]}}


@pytest.fixture
def file(kf: Kf) -> str:
    (kf.folder / "state.json").write_text(json.dumps(state()))
    return "state.json"


def test_violated(kf: Kf, file: str) -> None:
    """
    A certificate without an approval ends it with 20, with the resource, the line of the program and what to write.
    """
    run = kf("policy", "check", "--state", file)
    piped = kf("policy", "check", "--state", "-", "--output", "json", said=json.dumps(state()))

    assert [20, 20] == [run.code, piped.code]
    assert URN in run.out
    assert "depends_on=[approval]" in run.out
    assert "stacks/__main__.py:13" in run.out
    assert f"severity high: {ABOUT['certificates-need-approval'].url}" in run.out
    assert "canary" not in f"{run}{piped}"
    assert [("certificates-need-approval", URN, "violated", "stacks/__main__.py:13")] == [
        (each["rule"], each["urn"], each["verdict"], each["source"]) for each in piped.json["findings"]
    ]


def test_types(kf: Kf, file: str) -> None:
    """
    Types of one's own, instead of the known ones or besides them.
    """
    assert 0 == kf("policy", "check", "--state", file, "--type", "house:*:Certificate").code
    assert 20 == kf("policy", "check", "--state", file, "--also", "house:*:Certificate").code


def test_reports(kf: Kf, file: str) -> None:
    """
    SARIF with the line of the program, and JUnit with a failure for the resource and a case for each other rule.
    """
    sarif = kf("policy", "check", "--state", file, "--output", "sarif").json
    junit = ET.fromstring(kf("policy", "check", "--state", file, "--output", "junit").out)

    (result,) = sarif["runs"][0]["results"]
    assert ("2.1.0", "certificates-need-approval", "error") == (sarif["version"], result["ruleId"], result["level"])
    place = result["locations"][0]["physicalLocation"]
    assert ("stacks/__main__.py", 13) == (place["artifactLocation"]["uri"], place["region"]["startLine"])
    assert [URN] == [case.get("name") for case in junit.iter("testcase") if case.find("failure") is not None]
    assert 6 == len(list(junit.iter("testcase")))
    (rule,) = [each for each in sarif["runs"][0]["tool"]["driver"]["rules"] if each["id"] == result["ruleId"]]
    about = ABOUT["certificates-need-approval"]
    assert ("8.0", "error") == (rule["properties"]["security-severity"], rule["defaultConfiguration"]["level"])
    assert (about.url, about.remediation) == (rule["helpUri"], rule["help"]["text"])
    (failure,) = junit.iter("failure")
    assert ("high", f"{about.remediation}\n{about.url}") == (failure.get("type"), failure.text)


@pytest.mark.parametrize("depth", [900, 5_000])
def test_nested(kf: Kf, depth: int) -> None:
    """
    Values of any depth are read, or refused in one line.
    """
    resource = {**state()["deployment"]["resources"][0], "inputs": {"subject": 0}}
    said = json.dumps({"deployment": {"resources": [resource]}}).replace("0}", f"{'[' * depth}{']' * depth}}}")

    run = kf("policy", "check", "--state", "-", said=said)

    assert run.code in (20, 65), run
    assert (run.code == 65) == (run.err.count("\n") == 1 and "is nested too deeply" in run.err)


def test_exceptions(kf: Kf, file: str) -> None:
    """
    A stack of today is adopted by one command; what is new is refused from then on.
    """
    written = kf("policy", "check", "--state", file, "--write-exceptions", "policy.json")
    adopted = kf("policy", "check", "--state", file, "--config", "policy.json")
    (kf.folder / "state.json").write_text(json.dumps(state("new")))
    new = kf("policy", "check", "--state", file, "--config", "policy.json")
    again = kf("policy", "check", "--state", file, "--write-exceptions", "policy.json")
    added = kf("policy", "check", "--state", file, "--config", "policy.json", "--write-exceptions", "policy.json")

    assert [0, 0, 20, 2, 0] == [run.code for run in (written, adopted, new, again, added)]
    config = json.loads((kf.folder / "policy.json").read_text())
    assert ["existing-1", "existing-2"] == sorted(config["exceptions"])
    assert all(exception["reason"] for exception in config["exceptions"].values())


@pytest.mark.parametrize(
    ("policies", "code"),
    [
        ({"certificates-need-approval": "disabled"}, 0),
        ({"certificates-need-approval": {"enforcementLevel": "advisory"}}, 0),
        ({"certificates-need-approval": {"enforcementLevel": "mandatory"}}, 20),
        ({"all": "advisory"}, 0),
        ({"all": "disabled", "certificates-need-approval": "mandatory"}, 20),
        ({"all": "disabled", "certificates-need-approval": {"also": []}}, 0),
        ({"all": {"enforcementLevel": "advisory"}}, 0),
        ({"certificates-need-approval": {"types": ["house:*"]}, "verdicts-are-known": "disabled"}, 0),
    ],
    ids=["disabled", "advisory", "mandatory", "all", "all but one", "all, and a parameter", "object", "parameter"],
)
def test_levels(kf: Kf, file: str, policies: dict[str, Any], code: int) -> None:
    """
    The levels of Pulumi's policy configuration, in both of its forms: a rule's own, else that of "all".
    """
    codes = []
    for form in ({"version": 2, "policies": policies}, policies, {"environments": ["house"], **policies}):
        (kf.folder / "policy.json").write_text(json.dumps(form))
        codes.append(kf("policy", "check", "--state", file, "--config", "policy.json").code)

    assert [code] * 3 == codes


def test_advisory(kf: Kf, file: str) -> None:
    """
    What is only told is an error in no report: text and JSON say the level, SARIF warns, JUnit has it as output.
    """
    policies = {"certificates-need-approval": "advisory", "no-insecure-settings": "disabled"}
    (kf.folder / "policy.json").write_text(json.dumps({"version": 2, "policies": policies}))
    check = ("policy", "check", "--state", file, "--config", "policy.json", "--output")

    (found,) = kf(*check, "json").json["findings"]
    run = kf(*check, "sarif").json["runs"][0]
    junit = ET.fromstring(kf(*check, "junit").out)

    assert "violated (advisory): certificates-need-approval" in kf(*check, "text").out
    assert ("violated", "advisory") == (found["verdict"], found["level"])
    assert ["warning"] == [result["level"] for result in run["results"]]
    rules = {rule["id"]: rule["defaultConfiguration"] for rule in run["tool"]["driver"]["rules"]}
    assert {"enabled": True, "level": "warning"} == rules["certificates-need-approval"]
    assert {"enabled": True, "level": "error"} == rules["records-are-genuine"]
    assert ["approval-matches-certificate", "certificates-wait-for-approval", "no-insecure-settings"] == sorted(
        rule for rule, how in rules.items() if not how["enabled"]
    )
    assert not list(junit.iter("failure"))
    (told,) = junit.iter("system-out")
    assert "waits for no approval" in (told.text or "")
    assert 5 == len(list(junit.iter("testcase")))


@pytest.mark.parametrize(
    ("arguments", "said", "code", "word"),
    [
        ([], "", 2, "--state FILE or --preview FILE"),
        (["--state", "-", "--preview", "-"], "", 2, "--state FILE or --preview FILE"),
        (["--state", "none.json"], "", 65, "cannot be read"),
        (["--state", "-"], "no JSON", 65, "is not JSON"),
        (["--state", "-"], "[" * 100_000, 65, "is nested too deeply"),
        (["--state", "-"], "[]", 65, "pulumi stack export"),
        (["--preview", "-"], '{"steps": [], "changeSummary": {"same": 3}}', 65, "--show-sames"),
        (["--state", "-", "--config", "none.json"], "{}", 65, "none.json"),
    ],
)
def test_bad_input(kf: Kf, arguments: list[str], said: str, code: int, word: str) -> None:
    """
    What cannot be read is one line.
    """
    run = kf("policy", "check", *arguments, said=said)

    assert code == run.code
    assert word in run.err


def test_parameters(kf: Kf, file: str) -> None:
    """
    What is configured of a rule is honoured, a rule that is not recommended is run when it is configured, and what a
    rule cannot mean is one line.
    """
    codes = []
    for policies in (
        {"certificates-need-approval": {"types": ["house:*"]}},
        {"certificates-need-approval": "advisory", "certificates-wait-for-approval": {"by": "parent"}},
        {"approvals-are-complete": {"servers": "one"}},
    ):
        (kf.folder / "policy.json").write_text(json.dumps({"version": 2, "policies": policies}))
        run = kf("policy", "check", "--state", file, "--config", "policy.json")
        codes.append(run.code)

    assert [0, 20, 65] == codes
    assert "approvals-are-complete takes a list for servers, not a single text" in run.err


def excepting(**how: Any) -> dict[str, Any]:
    """
    A configuration with an exception.
    """
    match = {"policies": ["certificates-need-approval"], "targets": [URN], **how.pop("match", {})}
    return {"version": 2, "exceptions": {"old": {"reason": "until May", "match": [match], **how}}}


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ([], '{"version": 2, "policies"'),
        ({"version": 1}, '"version" is 2, or left out'),
        ({"version": "2", "policies": {}}, '"version" is 2, or left out'),
        ({"version": 2, "polices": {}}, "'polices' is no key: did you mean 'policies'?"),
        ({"policies": {"all": "disabled"}}, 'need a "version": 2'),
        ({"approval-matches-certificates": "mandatory"}, "did you mean 'approval-matches-certificate'?"),
        ({"version": 2, "policies": {"no-such": "mandatory"}}, "'no-such' is no rule: there is certificates-need"),
        ({"certificates-need-approval": "mandatry"}, "is no level of certificates-need-approval: did you mean 'manda"),
        ({"certificates-need-approval": {"enforcementLevel": "Advisory"}}, "did you mean 'advisory'?"),
        ({"all": {"enforcementLevel": None}}, "is no level of all"),
        ({"no-insecure-settings": None}, "no-insecure-settings takes a level"),
        ({"all": {"types": []}}, "all has no parameter 'types'"),
        ({"one-approval-one-certificate": {"enforcementLevel": "disabled", "type": []}}, "has no parameter 'type'"),
        (excepting(match={"policies": ["certificate-needs-approval"]}), "did you mean 'certificates-need-approval'?"),
        (excepting(match={"policies": ["*"]}), "'*' is no rule"),
        (excepting(match={"policies": []}), "exceptions.old.match.0.policies"),
        (excepting(match={"targets": ["*"]}), "'*' is no URN"),
        (excepting(match={"target": [URN]}), "exceptions.old.match.0.target"),
        (excepting(reason=" "), "say why the exception may stay"),
        (excepting(expires="2020-01-01"), "exceptions.old.expires"),
        ({"version": 2, "policies": {"\n::error::a\ud800": "mandatory"}}, "'error: :a' is no rule"),
    ],
    ids=str,
)
def test_config_refused(kf: Kf, file: str, config: object, word: str) -> None:
    """
    What a configuration names and there is not is one line, with what there is: it would do nothing.
    """
    (kf.folder / "policy.json").write_text(json.dumps(config))

    run = kf("policy", "check", "--state", file, "--config", "policy.json")

    assert (65, 1) == (run.code, run.err.count("\n"))
    assert word in run.err


def test_older_form_adopted(kf: Kf, file: str) -> None:
    """
    Exceptions are added to the form that has none: it becomes version 2, with all that it had.
    """
    policies = {"no-insecure-settings": "disabled", "approvals-are-complete": {"max_age": None, "servers": ["a"]}}
    (kf.folder / "policy.json").write_text(json.dumps({"environments": ["house"], **policies}))

    written = kf("policy", "check", "--state", file, "--config", "policy.json", "--write-exceptions", "policy.json")
    adopted = kf("policy", "check", "--state", file, "--config", "policy.json")

    assert [0, 0] == [written.code, adopted.code]
    config = json.loads((kf.folder / "policy.json").read_text())
    assert (2, policies, ["house"]) == (config["version"], config["policies"], config["environments"])


def test_star(kf: Kf) -> None:
    """
    A * stands for itself: it may be a certificate's name, and where it is none, that is told.
    """
    config = excepting(match={"targets": [URN.replace("::web", "::*.example.com")]})
    (kf.folder / "policy.json").write_text(json.dumps(config))

    named, hoped = (
        kf("policy", "check", "--state", "-", "--config", "policy.json", said=json.dumps(state(name)))
        for name in ("*.example.com", "www.example.com")
    )

    assert [0, 20] == [named.code, hoped.code]
    assert not named.err
    assert "a * in an exception stands for itself alone" in hoped.err


def test_many_exceptions() -> None:
    """
    A finding is not compared with each exception.
    """
    compared = 0

    class Urn(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    match = [{"policies": ["no-insecure-settings"], "targets": [f"{URN}{number}"]} for number in range(1000)]
    config = PolicyConfig.read(excepting(match={}) | {"exceptions": {"old": {"reason": "old", "match": match}}})

    assert all(config.excepts(Finding("no-insecure-settings", Urn(f"{URN}{number}"), "")) for number in range(1000))
    assert not config.excepts(Finding("certificates-need-approval", f"{URN}1", ""))
    assert compared < 10_000


@pytest.mark.parametrize(
    "name",
    [
        "a\nviolated: forged",
        "a\x1b[31m\x00\uffff",
        "a##vso[task.complete]",
        "a\r\n::error::forged",
        "a::error::forged",
        "a\ud800b",
        "\u2028##[error]<b>&\"'",
    ],
    ids=ascii,
)
def test_names_of_others(kf: Kf, name: str) -> None:
    """
    What a program calls its resources forges no line and no order, and each output can be read by its readers.
    """
    document = state(name)
    document["deployment"]["resources"][0]["stackTrace"][0]["sourcePosition"] = f"project:///{name.replace('#', '')}#1"
    said = json.dumps(document)

    runs = {
        output: kf("policy", "check", "--state", "-", "--output", output, said=said)
        for output in ("text", "json", "sarif", "junit")
    }

    assert {20} == {run.code for run in runs.values()}
    assert 3 == runs["text"].out.count("\n")
    assert 1 == sum(line.lstrip().startswith("violated") for line in runs["text"].out.splitlines())
    for run in runs.values():
        assert all(sign == "\n" or sign.isprintable() for sign in run.out), run
        assert "##" not in run.out
        assert not any(line.lstrip().startswith("::") for line in run.out.splitlines())
    (found,) = runs["json"].json["findings"]
    assert URN.replace("::web", f"::{name}") == found["urn"]
    (result,) = runs["sarif"].json["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].isascii()
    assert 1 == len(list(ET.fromstring(runs["junit"].out).iter("failure")))


def test_folder(kf: Kf) -> None:
    """
    A folder in a file's place.
    """
    assert 65 == kf("policy", "check", "--state", str(Path("/"))).code

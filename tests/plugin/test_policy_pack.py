"""
A pack with all policies as the engine speaks to it: over gRPC. Whatever a resource looks like, no call fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.protobuf.empty_pb2 import Empty
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc
from pulumi_policy import proxy
from pulumi_policy.deserialize import SPECIAL_ARCHIVE_SIG, SPECIAL_ASSET_SIG, SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY

from kf_provider.policy import CERTIFICATES, REQUESTS, rules
from kf_provider.policy.certificates import OTHER_NAMES, SIGNING_REQUESTS, SUBJECTS
from kf_provider.policy.graph import GATE_TYPE, PROVIDER_TYPE, RECORD_TYPE

from .process import channel_to, struct

PROGRAM = """
from pulumi_policy import PolicyPack

from kf_provider import policy

policies = [
    *policy.recommended(definitions=["d"], minimum_version=2, max_age="36500d", servers=["https://kf.example.com"])[:-1],
    policy.certificates_wait_for_approval(),
    policy.approval_matches_certificate(),
]
PolicyPack("all", policies=[*policies, policy.verdicts_are_known(policies)])
"""
TLS = "tls:index/selfSignedCert:SelfSignedCert"
SUBJECT = {"current_state_data.Subject": "CN=www.example.com"}
CANARY = "canary"


class Resource(NamedTuple):
    """
    A resource as a program registers it.
    """

    urn: str
    type: str = TLS
    properties: Mapping[str, Any] = {}
    parent: str = ""
    dependencies: Sequence[str] = ()
    by_property: Mapping[str, Sequence[str]] = {}
    ignored: Sequence[str] = ()
    provider: Mapping[str, Any] | None = None


class Pack:
    """
    The pack's process. What is reported comes back as pairs of a policy and a message, with the URN before it.
    """

    def __init__(self, stub: analyzer_pb2_grpc.AnalyzerStub, log: Path) -> None:
        self.stub = stub
        self.log = log

    def configure(self, **policies: Mapping[str, Any]) -> None:
        config = {
            name.replace("_", "-"): analyzer_pb2.PolicyConfig(
                enforcementLevel=analyzer_pb2.MANDATORY, properties=struct(properties)
            )
            for name, properties in policies.items()
        }
        self.stub.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig=config))

    def one(self, resource: Resource) -> list[tuple[str, str]]:
        """
        What is reported before a resource is made. Nothing changes it.
        """
        options = analyzer_pb2.AnalyzerResourceOptions(ignoreChanges=resource.ignored, parent=resource.parent)
        request = analyzer_pb2.AnalyzeRequest(
            type=resource.type,
            properties=struct(resource.properties),
            urn=resource.urn,
            name=resource.urn.rpartition("::")[2],
            options=options,
            provider=self._provider(resource),
        )
        assert not self.stub.Remediate(request).remediations
        hidden = {key: value for key, value in resource.properties.items() if key != "__provider"}
        request.properties.CopyFrom(struct(hidden))
        return self._reported(self.stub.Analyze(request))

    def stack(self, *resources: Resource) -> list[tuple[str, str]]:
        """
        What is reported of a whole stack.
        """
        request = analyzer_pb2.AnalyzeStackRequest(resources=map(self._of_stack, resources))
        return self._reported(self.stub.AnalyzeStack(request))

    def _of_stack(self, resource: Resource) -> analyzer_pb2.AnalyzerResource:
        by_property = {
            key: analyzer_pb2.AnalyzerPropertyDependencies(urns=urns) for key, urns in resource.by_property.items()
        }
        return analyzer_pb2.AnalyzerResource(
            type=resource.type,
            properties=struct(resource.properties),
            urn=resource.urn,
            name=resource.urn.rpartition("::")[2],
            options=analyzer_pb2.AnalyzerResourceOptions(ignoreChanges=resource.ignored),
            provider=self._provider(resource),
            parent=resource.parent,
            dependencies=resource.dependencies,
            propertyDependencies=by_property,
        )

    @staticmethod
    def _provider(resource: Resource) -> analyzer_pb2.AnalyzerProviderResource | None:
        if resource.provider is None:
            return None
        urn = f"urn:pulumi:prod::shop::{PROVIDER_TYPE}::default"
        return analyzer_pb2.AnalyzerProviderResource(type=PROVIDER_TYPE, properties=struct(resource.provider), urn=urn)

    def _reported(self, response: analyzer_pb2.AnalyzeResponse) -> list[tuple[str, str]]:
        """
        The policies and messages; the SDK's word for a rule that touched an unknown value is none of them.
        """
        for each in response.diagnostics:
            assert "can't run policy" not in each.message, each
            assert CANARY not in each.message, each
        assert not self.log.read_text()
        return [(each.policyName, each.message) for each in response.diagnostics]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pack]:
    """
    One process for all tests of this file.
    """
    folder = tmp_path_factory.mktemp("pack")
    (folder / "__main__.py").write_text(PROGRAM)
    log = folder / "stderr"
    with (
        log.open("w") as stderr,
        channel_to("-m", "pulumi.policy", "127.0.0.1:1", ".", cwd=folder, stderr=stderr) as to,
    ):
        yield Pack(analyzer_pb2_grpc.AnalyzerStub(to), log)


@pytest.fixture
def pack(process: Pack) -> Pack:
    """
    The process, without a configuration.
    """
    process.configure()
    return process


def policies(reported: Iterable[tuple[str, str]]) -> list[str]:
    return [policy for policy, _ in reported]


def test_info(pack: Pack) -> None:
    """
    It tells its policies: each rule, with its level, its kind and the parameters that may be configured.
    """
    info = pack.stub.GetAnalyzerInfo(Empty())

    told = {each.name: each for each in info.policies}
    assert set(told) >= {*rules.RULES, *rules.OPT_IN}
    assert told["records-are-genuine"].enforcementLevel == analyzer_pb2.REMEDIATE
    assert told["approvals-are-recorded"].enforcementLevel == analyzer_pb2.ADVISORY
    assert "by" in told["certificates-wait-for-approval"].configSchema.properties
    assert info.supportsConfig


def test_run(pack: Pack) -> None:
    """
    The calls of an update: a certificate passes after the record that expects its subject, and only that one.
    """
    asked = {"instance_id": "1", "expect": SUBJECT, "__provider": rules.GENUINE}
    record = Resource("a::record", RECORD_TYPE, asked, provider={})
    web = Resource("a::web", properties={"subject": {"commonName": "www.example.com"}}, dependencies=["a::record"])
    other = Resource("a::other", properties={"subject": {"commonName": CANARY}})
    done = {"status": "Complete", "server": "https://kf.example.com", "last_modified": "2020-01-01T00:00:00Z"}
    recorded = record._replace(properties={**record.properties, **done, "definition": {"id": "d", "version": 2.0}})

    assert policies(pack.one(web)) == ["certificates-wait-for-approval"]
    assert not pack.one(record)
    assert not pack.one(web)
    assert policies(pack.one(other)) == ["certificates-wait-for-approval"]
    assert policies(pack.one(record._replace(properties={"__provider": "other"}))) == ["records-are-genuine"]
    assert not pack.stack(recorded, web)
    assert policies(pack.stack(record, web)) == ["approvals-are-recorded"]
    assert policies(pack.stack(recorded, web, other)) == ["certificates-need-approval"]
    matches = web._replace(properties={"subject": {"commonName": CANARY}})
    assert policies(pack.stack(recorded, matches)) == ["approval-matches-certificate"]


@pytest.mark.parametrize(
    ("configured", "word"),
    [
        ({"by": "parent"}, "is no child of a gate"),
        ({"types": ["house:*"]}, ""),
        ({"by": "luck"}, "its configuration takes expect or parent for by"),
        ({"types": TLS}, "its configuration takes a list for types"),
        ({"types": [1, None, {}]}, "its configuration takes a list of texts for types"),
        ({"unheard": {}}, "its configuration has no parameter 'unheard'"),
    ],
)
def test_configured(pack: Pack, configured: Mapping[str, Any], word: str) -> None:
    """
    What is configured is honoured from the next call on; what a rule cannot mean is reported, and no error.
    """
    pack.configure(certificates_wait_for_approval=configured)

    messages = [message for _, message in pack.one(Resource("b::web", properties={"commonName": "b.example.com"}))]

    assert bool(word) == bool(messages)
    assert all(word in message for message in messages)


URNS = ["", "r", "c", "d", "g", "nowhere", f"urn:pulumi:prod::shop::{GATE_TYPE}::web"]
PLAIN = st.none() | st.booleans() | st.sampled_from([0, -1, 1e300, "", CANARY, "CN=canary", "CN=", "=,+\\", "\0\u2028"])
WRAPPED = [
    {SPECIAL_SIG_KEY: SPECIAL_ASSET_SIG, "text": CANARY},
    {SPECIAL_SIG_KEY: SPECIAL_ARCHIVE_SIG, "path": CANARY},
    {SPECIAL_SIG_KEY: SPECIAL_ARCHIVE_SIG, "assets": {"a": {SPECIAL_SIG_KEY: SPECIAL_ASSET_SIG, "text": CANARY}}},
]
UNKNOWNS = [value for name, value in vars(proxy).items() if name.startswith("UNKNOWN_")]
LEAVES = PLAIN | st.sampled_from(UNKNOWNS) | st.sampled_from(WRAPPED)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["", "commonName", "id", "current_state_data", "Subject"]), inner, max_size=3)
        | inner.map(lambda value: {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": value})
    ),
    max_leaves=6,
)
KEYS = [
    *SUBJECTS,
    *OTHER_NAMES,
    *SIGNING_REQUESTS,
    *("status", "server", "definition", "last_modified", "expect", "instance_id", "approved_instance_id", "__provider"),
    *("keyfactor:skipVerify", "keyfactor:gates", ""),
]


def at(path: str, value: Any) -> dict[str, Any]:
    """
    Properties that have a value at a path.
    """
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


@st.composite
def properties(draw: st.DrawFn) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for path in draw(st.lists(st.sampled_from(KEYS), max_size=4)):
        merged |= at(path, draw(VALUES))
    return merged


RESOURCES = st.builds(
    Resource,
    st.sampled_from(URNS),
    st.sampled_from(["", "x", "pulumi:pulumi:Stack", RECORD_TYPE, GATE_TYPE, PROVIDER_TYPE, *CERTIFICATES, *REQUESTS])
    | st.just(RECORD_TYPE)
    | st.just(TLS),
    properties(),
    parent=st.sampled_from(URNS),
    dependencies=st.lists(st.sampled_from(URNS), max_size=3),
    by_property=st.dictionaries(st.sampled_from(KEYS), st.lists(st.sampled_from(URNS), max_size=3), max_size=2),
    ignored=st.lists(st.sampled_from(["*", "", "expect", "[0]", CANARY]), max_size=2),
    provider=st.none() | properties(),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(RESOURCES, max_size=6))
def test_odd_resources(pack: Pack, resources: list[Resource]) -> None:
    """
    Missing, unknown and secret values, wrong types, circles and resources that are not there: no call fails, no value
    is said, and a rule that cannot judge says so itself.
    """
    known = {each.name for each in pack.stub.GetAnalyzerInfo(Empty()).policies}

    reported = [each for resource in resources for each in pack.one(resource)]
    reported += pack.stack(*resources)

    assert set(policies(reported)) <= known


def test_deep_values(pack: Pack) -> None:
    """
    Values as deep as a message may be.
    """
    value: Any = CANARY
    for _ in range(15):
        value = {"Subject": [value]}
    record = Resource("deep", RECORD_TYPE, {"expect": {"current_state_data": value}, "definition": value})
    certificate = Resource("c::deep", properties={"subject": value, "dnsNames": value}, dependencies=["deep"])

    assert "records-are-genuine" in policies(pack.one(record))
    assert "certificates-wait-for-approval" in policies(pack.one(certificate))
    assert "approval-matches-certificate" in policies(pack.stack(record, certificate))


def test_long_chains(pack: Pack) -> None:
    """
    A chain of 1,500 parents with a record at its end opens, and a circle of as many does not.
    """
    house = Resource("house", "house:index:House")
    chain = [house._replace(urn=f"chain{n}", parent=f"chain{n + 1}") for n in range(1_500)]
    circle = [house._replace(urn=f"circle{n}", parent=f"circle{(n + 1) % 1_500}") for n in range(1_500)]
    end = house._replace(urn="chain1500", dependencies=["record"])
    record = Resource("record", RECORD_TYPE, {"instance_id": "1", "expect": SUBJECT})
    first, second = Resource("x::first", parent="chain0"), Resource("x::second", parent="circle0")

    reported = pack.stack(*chain, *circle, end, record, first, second)

    (refused,) = [message for policy, message in reported if policy == "certificates-need-approval"]
    assert "'second' waits for no approval" in refused

"""
Which resources are certificates.
"""

from __future__ import annotations

import pytest

from kf_provider.policy import rules
from kf_provider.policy.graph import Node
from tests.unit.policy.stacks import stack


@pytest.mark.parametrize(
    ("token", "is_certificate"),
    [
        ("aws:acm/certificate:Certificate", True),
        ("azure-native:web/v20240401:Certificate", True),
        ("kubernetes:cert-manager.io/v1:Certificate", True),
        ("kubernetes:cert-manager.io/v1:CertificateRequest", False),
        ("tls:index/certRequest:CertRequest", False),
        ("aws:s3/bucket:Bucket", False),
        ("house:index:Certificate", True),  # by also=
    ],
)
def test_types(token: str, is_certificate: bool) -> None:
    """
    Certificates of the known providers count, of each version of an API, and one's own; requests do not.
    """
    graph = stack(Node("one", token))

    found = list(rules.certificates_need_approval(graph, also=["house:*:Certificate"]))

    assert is_certificate == bool(found)

"""
A provider of one component, a house with a certificate: it is made in a process of its own, as components in other
languages are.
"""

# Without `from __future__ import annotations`: the host reads the types of the arguments, and takes no text for one.

from typing import TypedDict

import pulumi
import pulumi_tls as tls
from pulumi.provider.experimental import component_provider_host


class HouseArgs(TypedDict):
    pass


class House(pulumi.ComponentResource):
    def __init__(self, name: str, args: HouseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("house:index:House", name, {}, opts)
        tls.SelfSignedCert(
            f"{name}-web",
            allowed_uses=["server_auth"],
            private_key_pem="a key",
            validity_period_hours=12,
            subject=tls.SelfSignedCertSubjectArgs(common_name="www.example.com"),
            opts=pulumi.ResourceOptions(parent=self),
        )


if __name__ == "__main__":
    component_provider_host([House], "house", version="1.0.0")

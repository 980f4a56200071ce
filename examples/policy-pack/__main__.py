"""No certificate without an approval of its own, whatever program makes it."""

from pulumi_policy import PolicyPack

from kf_provider import policy

PolicyPack("certificates", policies=policy.recommended())

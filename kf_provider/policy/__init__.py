"""
Policy checks on certificates: rules for a stack's resources, and the same as policies of a pulumi-policy pack.

`Graph`, `Finding`, `rules` and the lists of types need no engine; the policies need the extra `policy`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import rules
from .certificates import CERTIFICATES, REQUESTS, UPLOADS
from .findings import Finding
from .graph import Graph, Node, StackFileError

if TYPE_CHECKING:
    from .pack import (
        approval_matches_certificate,
        approvals_are_complete,
        approvals_are_recorded,
        certificates_need_approval,
        certificates_wait_for_approval,
        no_insecure_settings,
        one_approval_one_certificate,
        recommended,
        records_are_genuine,
        verdicts_are_known,
    )

__all__ = [
    "CERTIFICATES",
    "REQUESTS",
    "UPLOADS",
    "Finding",
    "Graph",
    "Node",
    "StackFileError",
    "approval_matches_certificate",
    "approvals_are_complete",
    "approvals_are_recorded",
    "certificates_need_approval",
    "certificates_wait_for_approval",
    "no_insecure_settings",
    "one_approval_one_certificate",
    "recommended",
    "records_are_genuine",
    "rules",
    "verdicts_are_known",
]

if not TYPE_CHECKING:  # to a type checker, a module with __getattr__ has every name

    def __getattr__(name: str) -> Any:
        # At first use: the rules run where pulumi-policy is not installed.
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            return getattr(import_module(".pack", __name__), name)
        except ModuleNotFoundError as missing:
            if missing.name is None or missing.name.startswith("kf_provider"):
                raise
            text = f"kf_provider.policy.{name} needs {missing.name}: pip install 'kf-provider[policy]'"
            raise ModuleNotFoundError(text, name=missing.name) from None

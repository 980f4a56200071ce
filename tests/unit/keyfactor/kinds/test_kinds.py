"""
The list of kinds.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import kf_provider
from kf_provider.keyfactor.kinds import KINDS, CredentialInputs, CredentialSettings

PACKAGE = Path(kf_provider.__file__).parent


def test_list_is_complete() -> None:
    """
    Every file here is a kind of the list, and the settings and the inputs are those of all kinds.
    """
    files = {file.stem for file in (PACKAGE / "keyfactor" / "kinds").glob("*.py")} - {"__init__", "kind"}
    fields = set().union(*(kind.fields for kind in KINDS))

    assert files == {kind.name for kind in KINDS}
    assert fields == CredentialSettings.model_fields.keys() == CredentialInputs.__annotations__.keys()


def test_no_name_twice() -> None:
    """
    No two kinds define the same name: in the settings that inherit from all, one would silently replace the other.
    """
    names = Counter(
        name for kind in KINDS for name in {**kind.model.model_fields, **vars(kind.model)} if not name.startswith("__")
    )
    of_pydantic = {name for name in dir(KINDS[0].model.__base__) if name.startswith(("_abc", "model_"))}

    assert not {name for name, count in names.items() if count > 1} - of_pydantic

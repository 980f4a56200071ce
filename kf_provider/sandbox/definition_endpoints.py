"""
The endpoints under /Workflow/Definitions.

Source: keyfactor-api.md, section 8.
"""

from __future__ import annotations

from starlette.responses import Response

from .accounts import Permission
from .call import Call, require_permission
from .responses import KeyfactorJsonResponse
from .state import SandboxState


class DefinitionEndpoints:
    """
    What Keyfactor answers about workflow definitions. To refuse, a method raises an `ApiError` or a `WorkflowError`.
    """

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def list_all(self, call: Call) -> Response:
        """
        GET Workflow/Definitions: the published ones, without steps.
        """
        require_permission(self._state, call, Permission.READ_ALL)
        found = self._state.machine.definitions
        rows = [self._state.wire.definition_row(definition) for definition in found]
        return KeyfactorJsonResponse(rows, headers={"x-total-count": str(len(rows))})

    def get(self, call: Call) -> Response:
        """
        GET Workflow/Definitions/{id}: with its steps and their signals; `definitionVersion` picks an earlier version.
        """
        require_permission(self._state, call, Permission.READ_ALL)
        latest = self._state.machine.definition(call.id)
        version = call.whole_number("definitionVersion", latest.version, least=1)
        definition = self._state.machine.definition(call.id, version)
        return KeyfactorJsonResponse(self._state.wire.definition(definition, call.api_version))

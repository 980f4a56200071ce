"""
WorkflowInstance: a workflow instance as a resource that the engine reads, and never creates or deletes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from inspect import get_annotations
from typing import Any, Final
from uuid import UUID

import pulumi
from pulumi.dynamic import Config, ConfigureRequest, ReadResult, Resource, ResourceProvider
from pulumi.output import Unknown

from .errors import InstanceIdError, KeyfactorError, UnauthorizedError
from .keyfactor.client import client_for
from .keyfactor.models import parse_instance_id
from .provider import InvalidArgumentError, invalid, is_mocked, own_provider, plugin_settings
from .results import Definition, Signal
from .sdk import make_properties_light, on_demand, show_our_errors_in_one_line

SECRET_OUTPUTS: Final = ("initial_data", "current_state_data")

_OF_A_REFRESH: Final = (
    "(a refresh that cannot read leaves the values in the state as they are; to `up` or `destroy` now, leave out"
    " --refresh)"
)

_OF_OLD_CREDENTIALS: Final = (
    "(a refresh uses the configuration recorded at the last `pulumi up`: after a change of credentials run `pulumi up`"
    " without --refresh, or `pulumi refresh --run-program`)"
)

# What the engine does not do for a resource that it only reads.
_MEANINGLESS_OPTIONS: Final = (
    "custom_timeouts",
    "delete_before_replace",
    "deleted_with",
    "hooks",
    "id",
    "ignore_changes",
    "import_",
    "protect",
    "replace_on_changes",
    "replace_with",
    "replacement_trigger",
    "retain_on_delete",
    "urn",
)


class WorkflowInstanceProvider(ResourceProvider):
    """
    Reads instances, in the plugin's process. Its dotted name is in every state file: it is never renamed or moved.
    """

    serialize_as_secret_always = False

    _config: Config

    def configure(self, req: ConfigureRequest) -> None:
        self._config = req.config
        show_our_errors_in_one_line()

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """
        The instance as it is now. Raises a KeyfactorError, so that a refresh that cannot read leaves the state alone.
        """
        try:
            fields = client_for(plugin_settings(self._config)).get_workflow_instance(id_).outputs()
        except KeyfactorError as error:
            if props.get("instance_id"):  # what was read before: a refresh, also that of `up` and `destroy`
                error.add_note(_OF_OLD_CREDENTIALS if isinstance(error, UnauthorizedError) else _OF_A_REFRESH)
            raise
        if (keys := props.get("state_data_keys")) is not None:
            for name in SECRET_OUTPUTS:
                fields[name] = keep_parts(fields[name], keys)
            fields["state_data_keys"] = keys
        if props.get("problem") == "":  # an output of version 0.1.0: a refresh compares all outputs
            fields["problem"] = ""
        return ReadResult(id_, fields)


class WorkflowInstance(Resource, module="keyfactor", name="WorkflowInstance"):
    """
    A workflow instance, read at every preview and update, with its real values in both.

    `initial_data` and `current_state_data` are secret outputs; `state_data_keys` keeps only parts of them. An instance
    that is not found, or cannot be read, ends the run with one line that says why, a refresh too.

    `status` is Running, Suspended, Complete, Rejected, Failed or CanceledForRestart; a word of a later version, or a
    number in text where the server sends numbers that the setting `status_names` does not name.
    """

    instance_id: pulumi.Output[str]
    status: pulumi.Output[str]
    status_message: pulumi.Output[str | None]
    current_step_id: pulumi.Output[str | None]
    current_step_display_name: pulumi.Output[str | None]
    current_step_unique_name: pulumi.Output[str | None]
    title: pulumi.Output[str | None]
    reference_id: pulumi.Output[int | None]
    start_date: pulumi.Output[str | None]
    last_modified: pulumi.Output[str | None]
    definition: pulumi.Output[Definition | None]
    signals: pulumi.Output[list[Signal]]
    initial_data: pulumi.Output[Mapping[str, Any]]
    current_state_data: pulumi.Output[Mapping[str, Any]]

    def __init__(
        self,
        name: str,
        instance_id: pulumi.Input[str],
        *,
        state_data_keys: Sequence[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """
        :param name: the name of this resource in the stack
        :param instance_id: the instance's GUID
        :param state_data_keys: dotted paths (`Subject`, `SANs.dns`): only these parts of the data are kept; a warning
            tells of a path that is not there
        :param opts: `provider` chooses another server; options that mean nothing for a read are refused
        """
        opts = opts or pulumi.ResourceOptions()
        given = [option for option in _MEANINGLESS_OPTIONS if getattr(opts, option, None)]
        if given:
            raise InvalidArgumentError(
                f"WorkflowInstance {name!r} is only read, so these options would do nothing and are to be left out: "
                f"{', '.join(given)}"
            )
        paths = _checked_paths(name, state_data_keys)
        own_provider(opts.provider)
        opts = pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                id=_instance_guid(name, instance_id), additional_secret_outputs=list(SECRET_OUTPUTS)
            ),
        )
        props: dict[str, Any] = dict.fromkeys(WorkflowInstance.__annotations__)
        if paths is not None:
            props["state_data_keys"] = paths
        make_properties_light(WorkflowInstance)
        super().__init__(WorkflowInstanceProvider(), name, props, opts)
        for output in WorkflowInstance.__annotations__:
            self.__dict__[output] = on_demand(partial(_known, self.id, self.__dict__[output]))
        if paths and not is_mocked():
            kept = pulumi.Output.all(*(self.__dict__[output] for output in SECRET_OUTPUTS))
            kept.apply(lambda data: self._warn_of_missing(name, paths, data))

    def _warn_of_missing(self, name: str, paths: Sequence[str], data: Sequence[Mapping[str, Any]]) -> None:
        for path in paths:
            if not any(keep_parts(part, [path]) for part in data):
                pulumi.log.warn(
                    f"WorkflowInstance {name!r}: state_data_keys has {path!r}, where neither initial_data nor"
                    " current_state_data has a value; a later step may add it, or the path is wrong",
                    resource=self,
                )


def _instance_guid(name: str, instance_id: pulumi.Input[str]) -> pulumi.Input[str]:
    """
    The id as a GUID in its one spelling. Raises InvalidIdError, at once for a plain value that is none.
    """

    def parse(known: object) -> str:
        try:
            return parse_instance_id(known)
        except InstanceIdError as error:
            raise invalid(f"WorkflowInstance {name!r}", error) from error

    if instance_id is None or isinstance(instance_id, str | int | UUID):
        return parse(instance_id)
    known: pulumi.Output[Any] = pulumi.Output.from_input(instance_id)

    async def plain(value: object) -> str:
        if await known.is_secret():
            raise InvalidArgumentError(
                f"WorkflowInstance {name!r}: its instance_id is a secret, and the id of a resource is plain in the "
                f"state; use get_workflow_instance_output, or pulumi.Output.unsecret(...)"
            )
        return parse(value)

    return known.apply(plain)


def _checked_paths(name: str, paths: Sequence[str] | None) -> list[str] | None:
    if paths is None:
        return None
    if isinstance(paths, str) or not all(isinstance(path, str) and path for path in paths):
        raise InvalidArgumentError(f"WorkflowInstance {name!r}: state_data_keys is a list of paths, each a text")
    return list(paths)


def keep_parts(data: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """
    Only the named parts of the data, where they were; what is not there is left out.
    """
    kept: dict[str, Any] = {}
    deeper: dict[str, list[str]] = {}
    for path in paths:
        key, dot, rest = path.partition(".")
        if path in data:  # a key may have dots itself
            kept[path] = data[path]
        elif dot and isinstance(data.get(key), Mapping):
            deeper.setdefault(key, []).append(rest)
    for key, rests in deeper.items():
        if parts := keep_parts(data[key], rests):
            kept.setdefault(key, parts)
    return kept


def _known(instance_id: pulumi.Output[str], value: pulumi.Output[Any]) -> pulumi.Output[Any]:
    """
    What was read: what the server left out is None, in preview too. Where the id is not known yet, nothing was read.
    """
    return value.apply(
        lambda known: instance_id.apply(lambda _: None) if isinstance(known, Unknown) else known, run_with_unknowns=True
    )


# The SDK reads types that are text again for each resource.
WorkflowInstance.__annotations__ = get_annotations(WorkflowInstance, eval_str=True)

"""
docs/troubleshooting.md explains each message of the package, found in the source.
"""

from __future__ import annotations

import ast
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import kf_provider as kf
from kf_provider.errors import KeyfactorError, NoAnswerError, RequestError, StatusError, UnusableAnswerError
from kf_provider.waiting import wait

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "kf_provider"
# The lines of Pulumi and of pip in the last table are not in our source.
PAGE, _, _ = (ROOT / "docs" / "troubleshooting.md").read_text().partition("\n## Lines of other programs\n")

# Names and small parts of messages that other rows explain.
PARTS = (
    "the host name (keyfactor:hostname)",
    "the token URL (keyfactor:tokenUrl",
    "the host name and the API path",
    "the list of workflow instances",
    "the workflow instance of ",
    "the token endpoint on ",
    "an object of type ",
    "a number of more than 18 digits",
    ", next look in ",
    "waits for the server",
    "see KEYFACTOR_AUTH_CONFIG_FILE",
    "the list does not show what is there",
    "the list ignores the query",
    "How the clients have behaved",
    "Keyfactor sandbox at ",
    "urn:ietf:params",
    "the ticket of this user",
    "a name with a null in it",
    "kerberos, with a ticket (kinit)",
    "##vso[task.",
    "### Keyfactor approvals",
    ":param ",
    "pulumi-python:dynamic/",
    "pulumi:providers:pulumi-python",
    "certificates-wait-for-approval",
    "one-approval-one-certificate",
    "What could not be judged, because a value is not known yet.",
    "https://json.schemastore.org/",
)
# What is shown by `--help`, or is explained in docs/settings.md, is no message.
NO_MESSAGE = re.compile(r"(Setting|option|argument|command|group|Option|Choice|compile|TypeVar|debug)$")
# The sandbox has a page of its own, the rules' findings are in docs/policies.md, and `kf doctor` says its remedies.
RULES = tuple(f"policy/{file}.py" for file in ("certificates", "ledger", "parameters", "rules"))
ELSEWHERE = ("sandbox/", *RULES, "cli/checks.py")


def messages(words: int = 4) -> Iterator[tuple[str, str]]:
    """Each text of so many words that a person may be shown, with its place; what is put in at run time is `…`."""
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if not place.startswith(ELSEWHERE):
            for node in texts(ast.parse(path.read_text()), words):
                yield said(node), f"{place}:{node.lineno}"


def texts(node: ast.AST, words: int) -> Iterator[ast.expr]:
    """The outermost texts of so many words below a node, without docstrings."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Expr(value=ast.Constant()):  # a docstring
                continue
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if NO_MESSAGE.search(name):
                continue
            case ast.Constant() | ast.JoinedStr() | ast.BinOp(op=ast.Add()) if is_sentence(said(child), words):
                yield child
            case _:
                yield from texts(child, words)


def said(node: ast.expr) -> str:
    """A literal text."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(said(part) if isinstance(part, ast.Constant) else "…" for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return said(left) + said(right)
        case _:
            return "…"


def is_sentence(text: str, words: int) -> bool:
    """Whether it is a message, and no name or part of one."""
    return len(re.findall(r"\b[A-Za-z']{2,}\b", text)) >= words


def fragments() -> list[str]:
    """What the page explains: the code in the first column of its tables."""
    return [
        code
        for line in PAGE.splitlines()
        if line.startswith("| `")
        for code in re.findall(r"`` (.*?) ``|`([^`]+)`", line.split(" | ")[0])
        for code in code
        if code
    ]


@pytest.mark.parametrize(("text", "place"), [pytest.param(text, place, id=place) for text, place in messages()])
def test_message_is_explained(text: str, place: str) -> None:
    """
    A part of each message stands in the page.
    """
    assert any(part in text for part in [*fragments(), *PARTS]), f"docs/troubleshooting.md lacks {text!r} ({place})"


def test_nothing_is_stale() -> None:
    """
    Each part that the page explains is one of a message.
    """
    everything = [text for text, _ in messages(words=1)]

    assert [] == [part for part in fragments() if not any(part in text for text in everything)]


def ask_where_nobody_listens() -> None:
    with socket.socket() as bound:  # so nobody else takes the port
        bound.bind(("127.0.0.1", 0))
        hostname = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with kf.Client(kf.load_settings(hostname=hostname, username="a", password="b")) as client:
            client.list_workflow_instances()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (kf.load_settings, r"missing settings: \w+"),
        (lambda: kf.load_settings(hostname="a", username="b"), r"missing settings: \w+"),
        (ask_where_nobody_listens, r"no connection \(.*?\)"),
    ],
    ids=["hostname", "password", "connection"],
)
def test_short_message_is_explained(call: Callable[[], object], words: str) -> None:
    """
    Who looks for the first words of what is shown finds them, also where they are few.
    """
    with pytest.raises(KeyfactorError) as caught:
        call()
    found = re.search(words, str(caught.value))

    assert found is not None
    assert f"`{found[0]}`" in PAGE


@pytest.mark.parametrize(
    "error",
    [
        NoAnswerError("x"),
        UnusableAnswerError("x"),
        StatusError("x", status_code=503),
        StatusError("x", status_code=401),
    ],
)
def test_trouble_of_a_row_is_explained(error: RequestError) -> None:
    """
    What a gate's row begins with when something is wrong stands in the page as it is shown.
    """
    assert f"`{wait._reason(error)}; ...`" in PAGE

"""
A web page of somebody else, in the browser of a developer whose sandbox runs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kf_provider.sandbox import Sandbox

from .browser import Browser, open_browser

# What a page can do to another origin without its consent. Each entry of `tried` tells how the browser took it.
ATTACK = """
const [base, id, done] = arguments;
const tried = {}, urlencoded = "application/x-www-form-urlencoded";
const attempt = async (name, work) => {
    try { tried[name] = await work(); } catch (error) { tried[name] = error.name; }
};
const approve = `${base}/sandbox/instances/${id}/approve`;
const post = (extra) => async () => (await fetch(approve, { method: "POST", body: "{}", ...extra })).type;
const submit = (enctype, field) => () => new Promise((resolve) => {
    const frame = Object.assign(document.createElement("iframe"), { name: `frame${Math.random()}` });
    const form = Object.assign(document.createElement("form"), { method: "post", enctype, action: approve });
    form.target = frame.name;
    if (field) form.append(Object.assign(document.createElement("input"), field));
    document.body.append(frame, form);
    frame.onload = () => resolve("sent");
    form.submit();
});
const load = (tag, source) => () => new Promise((resolve) => {
    const element = document.createElement(tag);
    element.onload = () => resolve("loaded");
    element.onerror = () => resolve("refused");
    element.src = source;
    document.body.append(element);
});
const framed = () => new Promise((resolve) => {
    const frame = Object.assign(document.createElement("iframe"), { src: `${base}/#${id}` });
    frame.onload = () => resolve(frame.contentDocument ? "readable" : "closed");
    document.body.append(frame);
});
(async () => {
    await attempt("simple text", post({ mode: "no-cors" }));
    await attempt("simple form", post({ mode: "no-cors", headers: { "Content-Type": urlencoded } }));
    await attempt("json", post({ headers: { "Content-Type": "application/json" } }));
    await attempt("beacon", () => navigator.sendBeacon(approve, "{}"));
    await attempt("form", submit(urlencoded));
    await attempt("text form", submit("text/plain", { name: '{"comment": "', value: '"}' }));
    await attempt("read", async () => (await fetch(`${base}/sandbox/instances/${id}`)).text());
    await attempt("script", load("script", `${base}/sandbox/instances/${id}`));
    await attempt("image", load("img", `${base}/sandbox/page/icon.svg`));
    await attempt("frame", framed);
    await new Promise((resolve) => setTimeout(resolve, 300));
    done(tried);
})();
"""


pytestmark = pytest.mark.xdist_group("same origin browser")  # one window for all


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    # The closed network of the tests has no names: these two lead to this machine, as an attacker's would.
    rules = "MAP attacker.example 127.0.0.1,MAP rebound.example 127.0.0.1"
    with open_browser(tmp_path_factory.mktemp("profile"), f"--host-resolver-rules={rules}") as opened:
        opened.driver.set_script_timeout(20)
        yield opened


@pytest.fixture(scope="module")
def foreign_port() -> Iterator[int]:
    """
    The port of a web server of somebody else; its page is empty.
    """

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!DOCTYPE html><title>foreign</title><body>")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("host", ["attacker.example", "localhost", "127.0.0.1"])
def test_foreign_page(server: Sandbox, window: Browser, foreign_port: int, host: str) -> None:
    """
    Nothing that a page of another site, or of another port of this machine, sends moves an instance or is answered.
    """
    instance_id = server.start_enrollment(state_data={"Secret": "s3cr3t"})
    window.visit(f"http://{host}:{foreign_port}/")

    tried = window.run_async(ATTACK, server.url, instance_id)

    assert server.instance(instance_id).status == "Suspended"
    assert tried.keys() == {
        *("simple text", "simple form", "json", "beacon", "form", "text form"),
        *("read", "script", "image", "frame"),
    }
    assert (tried["json"], tried["read"]) == ("TypeError", "TypeError")
    assert tried["frame"] == "closed"


def test_rebound_name(server: Sandbox, window: Browser) -> None:
    """
    An attacker's name that leads to 127.0.0.1 gives a page the sandbox's origin; it gets nothing all the same.
    """
    instance_id = server.start_enrollment(state_data={"Secret": "s3cr3t"})
    window.visit(f"http://rebound.example:{server.port}/")
    refused = window.text("body")

    tried = window.run_async(ATTACK, "", instance_id)

    assert "rebound.example" in refused
    assert "loopback" in refused
    assert "s3cr3t" not in str(tried)
    assert "error" in tried["read"]
    assert server.instance(instance_id).status == "Suspended"


def test_the_attack_would_work(server: Sandbox, window: Browser) -> None:
    """
    The same script on the sandbox's own page approves: it is the guard that stops the others, not a mistake here.
    """
    instance_id = server.start_enrollment()
    window.visit(server.url)

    tried = window.run_async(ATTACK, server.url, instance_id)

    assert server.instance(instance_id).status == "Complete"
    assert instance_id in tried["read"]

"""
The page as a person has it before them, in a real browser.
"""

import re
from collections.abc import Iterator

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from kf_provider.sandbox import Sandbox

from .browser import Browser, open_browser

PAYLOADS = (
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    '"><svg onload="window.pwned = 1">',
    "javascript:window.pwned=1//</title></textarea><iframe srcdoc='<script>parent.pwned=1</script>'>",
    "{{constructor.constructor('window.pwned=1')()}}${window.pwned=1}",
)


pytestmark = pytest.mark.xdist_group("portal browser")  # one window for all


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    window.resize(1280, 900)
    window.complaints()  # of an earlier test
    yield window
    window.driver.get("about:blank")


def type_keys(browser: Browser, *keys: str) -> None:
    ActionChains(browser.driver).send_keys(*keys).perform()


def test_enroll_and_approve(server: Sandbox, browser: Browser) -> None:
    """
    A person starts an enrollment, approves it with a comment, and sees it become Complete; nothing is loaded anew.
    """
    browser.visit(server.url)
    browser.run("window.loadedOnce = true")
    browser("#subject").clear()
    browser("#subject").send_keys("CN=shop.keyexample.com")
    browser("#enroll button").click()
    browser.wait_for_text("#detail-status", "Suspended")
    instance_id = browser.text("#detail-id")

    browser("#comment").send_keys("looks right")
    browser.button("approve").click()
    browser.wait_for_text("#detail-status", "Complete")

    assert server.instance(instance_id).status == "Complete"
    assert "shop.keyexample.com" in browser.text("#detail-title")
    assert "approved by KEYEXAMPLE\\approver1: looks right" in browser.text("#history")
    browser.wait_for_text("#message", "Approved. The instance is Complete.")
    assert browser.row(instance_id).text.startswith("Complete")
    assert not browser("#comment").get_property("value")
    assert browser.run("return window.loadedOnce")
    assert browser.complaints() == []


@pytest.mark.parametrize(
    ("action", "expected"), [("deny", "Rejected"), ("stop", "Rejected"), ("restart", "Canceled for restart")]
)
def test_other_decisions(server: Sandbox, browser: Browser, action: str, expected: str) -> None:
    """
    Deny and Stop reject; Restart shows the new instance, and the old one names it.
    """
    instance_id = server.start_enrollment()
    browser.visit(f"{server.url}/#{instance_id}")
    browser.wait_for_text("#detail-status", "Suspended")

    browser.button(action).click()

    browser.wait(lambda: browser.row(instance_id).text.startswith(expected), f"{action} in the list")
    # Nothing can be done with an ended one, so its box is gone.
    if action != "restart":
        browser.wait(lambda: not browser("#decide").is_displayed(), "the box to go")
    if action == "restart":
        successor = str(server.instance(instance_id).successor_id)
        browser.wait_for_text("#detail-id", successor)
        browser.row(instance_id).click()
        browser.wait_for_text("#successor", successor)


def test_a_denial_is_no_approval(server: Sandbox, browser: Browser) -> None:
    """
    A denial has a mark and a colour of its own, and its comment stands once beside what happened.
    """
    instance_id = server.start_enrollment(approvals=2)
    server.approve(instance_id, "fine")
    server.deny(instance_id, "not like this")
    browser.visit(f"{server.url}/#{instance_id}")
    browser.wait_for_text("#detail-status", "Rejected")

    approval, denial = (browser.run(MARK, item) for item in browser.all("#signals li"))

    assert denial["mark"] == '"✕ "'
    assert (approval["mark"], approval["color"]) != (denial["mark"], denial["color"])
    assert "denied by KEYEXAMPLE\\approver2" in denial["text"]
    shown = browser.text("#detail-progress") + browser.text("#signals")
    assert 1 == shown.count("not like this")


MARK = """
const mark = getComputedStyle(arguments[0], "::before");
return { mark: mark.content, color: mark.color, text: arguments[0].textContent };
"""


def test_one_of_two_approvals(server: Sandbox, browser: Browser) -> None:
    """
    After the first of two approvals the page says that one more is needed.
    """
    instance_id = server.start_enrollment(approvals=2)
    browser.visit(f"{server.url}/#{instance_id}")
    browser.wait_for_text("#detail-status", "Suspended")

    browser.button("approve").click()

    browser.wait_for_text("#message", "Approved. 1 of 2 approvals are in: it waits for more.")


def test_an_address_without_an_instance(server: Sandbox, browser: Browser) -> None:
    """
    An id that is not on the server, and an address that has no id in it, are told as what they are.
    """
    browser.visit(f"{server.url}/#0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94")
    browser.wait_for_text("#detail-title", "This instance is not on the server, or not any more.")

    browser.visit(f"{server.url}/#web-cert")
    browser.wait_for_text("#message", "The address has web-cert in it, which is not the id of an instance.")


def test_updates_by_itself(server: Sandbox, browser: Browser) -> None:
    """
    What others do appears: new instances, statuses, signals; a screen reader is told of the open one.
    """
    first = server.start_enrollment(approvals=2)
    browser.visit(f"{server.url}/#{first}")
    browser.wait_for_text("#detail-progress", "Manager approval: 0 of 2 approvals")

    second = server.start_enrollment("CN=second.keyexample.com")
    server.approve(first, "one")
    browser.wait_for_text("#detail-progress", "Manager approval: 1 of 2 approvals")
    server.approve(first)
    browser.wait_for_text("#detail-status", "Complete")

    assert browser.text("#message").startswith("Now Complete: ")
    assert [row.get_dom_attribute("href") for row in browser.all("#instances a")] == [f"#{second}", f"#{first}"]
    assert browser.driver.title == "(1) Keyfactor sandbox"


def test_age_follows_the_sandbox_clock(server: Sandbox, browser: Browser) -> None:
    """
    Time that is skipped is seen.
    """
    instance_id = server.start_enrollment()
    browser.visit(server.url)
    browser.wait(lambda: browser.all("#instances .age"), "the list")
    assert browser.text("#instances .age") == "just now"

    server.advance(3 * 86400)

    browser.wait_for_text(f'#instances a[href="#{instance_id}"] .age', "3 days ago")


def test_markup_is_text(server: Sandbox, browser: Browser) -> None:
    """
    Titles, comments, names and values of data are shown as they are, and never run.
    """
    for payload in PAYLOADS:
        data = {payload: {"nested": payload}, "Comment": payload, "__proto__": payload, "list": [payload]}
        instance_id = server.start_enrollment(f"CN={payload}", 2, state_data=data, initiated_by=payload)
        server.approve(instance_id, payload)
        browser.visit(f"{server.url}/#{instance_id}")
        browser.wait_for_text("#detail-title", f"{payload} is enrolling for a certificate with CN={payload}.")
        for button in browser.all("#data button"):
            if button.is_displayed():
                button.click()
        browser.wait(lambda wanted=payload: wanted in browser.text("#data"), "the values")  # type: ignore[misc]  # a default in a lambda
        browser("#comment").send_keys(payload)
        browser.button("deny").click()
        browser.wait_for_text("#detail-status", "Rejected")

        assert f"denied by KEYEXAMPLE\\approver2: {payload}" in browser.text("#history")
        assert payload in browser.text("#signals")
        assert payload in browser.text("#detail-progress")
    browser.visit(f"{server.url}/#{PAYLOADS[1]}")
    browser.wait(lambda: len(browser.all("#instances a")) == len(PAYLOADS), "the list")

    assert browser.run("return window.pwned ?? null") is None
    assert browser.all("#detail img, #detail script, #detail iframe, #instances img, #instances script") == []
    assert browser.complaints() == []


def test_policy_is_in_force(server: Sandbox, browser: Browser) -> None:
    """
    Even a mistake in the page's script could not run markup: no inline script, no text turned into markup.
    """
    browser.visit(server.url)

    refused = browser.run(
        """
        const errors = [];
        for (const attempt of [
            () => { document.body.innerHTML = "<b>x</b>"; },
            () => { document.write("<b>x</b>"); },
            () => { document.head.append(Object.assign(document.createElement("script"), { text: "pwned = 1" })); },
            () => { document.body.setAttribute("onclick", "window.pwned = 1"); },
        ])
            try { attempt(); errors.push("none"); } catch (error) { errors.push(error.name); }
        document.body.click();
        return [errors, window.pwned ?? null];
        """
    )

    assert refused == [["TypeError"] * 4, None]


def test_sensitive_values_are_hidden_until_asked(server: Sandbox, browser: Browser) -> None:
    """
    What scripts left in the data is not even in the document before somebody asks, and is gone when they hide it.
    """
    data = {"ScriptOutput": {"password": "hunter2", "serial": 12345678901234567890}, "Other": "stays hidden"}
    instance_id = server.start_enrollment(state_data=data)
    browser.visit(f"{server.url}/#{instance_id}")
    show = '#data button[aria-label="Show ScriptOutput"]'
    browser.wait(lambda: browser.all(show), "the data")
    assert "hunter2" not in browser.driver.page_source
    assert "CN=web.keyexample.com" in browser.text("#data")

    browser(show).click()
    browser.wait(lambda: "hunter2" in browser.text("#data"), "the value")
    assert "12345678901234567890" in browser.text("#data")
    assert "stays hidden" not in browser.driver.page_source
    hide = browser('#data button[aria-label="Hide ScriptOutput"]')
    assert hide.get_dom_attribute("aria-expanded") == "true"
    assert browser.focused == hide

    hide.click()
    browser.wait(lambda: "hunter2" not in browser.driver.page_source, "the value to go")


def test_keyboard_only(server: Sandbox, browser: Browser) -> None:
    """
    Everything is done without a pointer, and the focus is where one expects it.
    """
    browser.visit(server.url)
    browser.wait(lambda: browser("#empty").is_displayed(), "the empty list")
    type_keys(browser, Keys.TAB, Keys.TAB)
    assert browser.focused == browser("#subject")
    type_keys(browser, Keys.CONTROL, "a", Keys.NULL, "CN=keys.keyexample.com", Keys.TAB, Keys.CONTROL, "a", Keys.NULL)
    type_keys(browser, "2", Keys.ENTER)

    # Opening an instance brings the focus to its title.
    browser.wait(lambda: browser.focused == browser("#detail-title"), "the focus on the title")
    assert "keys.keyexample.com" in browser.text("#detail-title")
    type_keys(browser, Keys.TAB)
    assert browser.focused == browser("#comment")
    type_keys(browser, "fine", Keys.TAB, Keys.ENTER)
    browser.wait_for_text("#detail-progress", "Manager approval: 1 of 2 approvals")
    assert browser.focused == browser.button("approve")
    type_keys(browser, Keys.SPACE)
    browser.wait_for_text("#detail-status", "Complete")

    # Nothing can be decided any more: the buttons are gone, and the focus is on the title.
    browser.wait(lambda: browser.focused == browser("#detail-title"), "the focus on the title")
    assert not browser("#decide").is_displayed()

    # Closing goes back to the row; Enter opens it again.
    browser.run("document.getElementById('close').focus()")
    type_keys(browser, Keys.ENTER)
    browser.wait(lambda: browser.focused == browser("#instances a"), "the focus on the row")
    assert not browser("#detail").is_displayed()
    type_keys(browser, Keys.ENTER)
    browser.wait(lambda: browser.focused == browser("#detail-title"), "the focus on the title")


def test_updates_leave_people_alone(server: Sandbox, browser: Browser) -> None:
    """
    While the list and the open instance change, what is typed, the caret and the focus stay.
    """
    instance_id = server.start_enrollment(approvals=3)
    browser.visit(f"{server.url}/#{instance_id}")
    browser.wait_for_text("#detail-status", "Suspended")
    browser("#comment").send_keys("half a sen", Keys.ARROW_LEFT)
    for count in (1, 2):
        server.start_enrollment(f"CN=other{count}.keyexample.com")
        server.approve(instance_id)
        browser.wait_for_text("#detail-progress", f"Manager approval: {count} of 3 approvals")
        assert browser.focused == browser("#comment")
    type_keys(browser, "X")
    assert browser("#comment").get_property("value") == "half a seXn"

    row = browser.row(instance_id)
    browser.run("arguments[0].focus()", row)
    server.start_enrollment("CN=newest.keyexample.com")
    browser.wait(lambda: len(browser.all("#instances a")) == 4, "the new row")
    assert browser.focused == row

    server.purge(instance_id)
    browser.wait(lambda: browser.focused == browser("#browse-title"), "the focus to be saved from the row that went")
    assert browser.text("#detail-title") == "This instance is not on the server, or not any more."
    assert not browser("#decide").is_displayed()


def test_focus_is_visible(server: Sandbox, browser: Browser) -> None:
    """
    Whatever the Tab key reaches has an outline that can be seen, and a name that can be read out.
    """
    instance_id = server.start_enrollment(state_data={"Secret": "x"})
    browser.visit(f"{server.url}/#{instance_id}")
    browser.wait_for_text("#detail-status", "Suspended")
    reached = []
    while True:
        type_keys(browser, Keys.TAB)
        element = browser.focused
        key = (element.tag_name, element.get_dom_attribute("id"), element.accessible_name)
        if element.tag_name == "body" or key in reached:
            break
        assert element.accessible_name, key
        style, width = browser.run(
            "const s = getComputedStyle(arguments[0]); return [s.outlineStyle, parseFloat(s.outlineWidth)]", element
        )
        assert style == "solid", key
        assert width >= 2, key
        reached.append(key)

    ids = {key[1] for key in reached}
    assert {"subject", "approvals", "filter-status", "filter-text", "close", "comment", "copy"} <= ids
    names = {key[2] for key in reached}
    assert {"Approve", "Deny", "Stop", "Restart", "Show Secret", "Start"} <= names


@pytest.mark.parametrize("width", [320, 390])
def test_phone(server: Sandbox, browser: Browser, width: int) -> None:
    """
    On a phone nothing is wider than the screen, and the open instance takes the list's place.
    """
    long = "x" * 300
    instance_id = server.start_enrollment(f"CN={long}", state_data={long: {"nested": [long]}})
    browser.resize(width, 700)
    browser.visit(server.url)
    browser.wait(lambda: browser.all("#instances a"), "the list")
    assert browser.run("return document.documentElement.scrollWidth") == width

    browser.row(instance_id).click()
    browser.wait_for_text("#detail-status", "Suspended")
    browser("#data button:not([hidden])").click()
    browser.wait(lambda: "nested" in browser.text("#data"), "the value")

    assert not browser("#browse").is_displayed()
    assert browser.run("return document.documentElement.scrollWidth") == width
    assert all(browser.button(action).rect["height"] >= 40 for action in ("approve", "deny", "stop", "restart"))
    browser.run("scrollTo(0, 0)")
    browser.button("approve").click()
    browser.wait_for_text("#detail-status", "Complete")
    browser("#close").click()
    browser.wait(lambda: browser("#browse").is_displayed(), "the list again")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast(server: Sandbox, browser: Browser, dark: bool) -> None:
    """
    Every text has a contrast of at least 4.5 to 1 (WCAG AA), in both colour schemes and for every status.
    """
    server.approve(server.start_enrollment())
    server.deny(server.start_enrollment())
    server.restart(server.start_enrollment())
    running = server.start_enrollment(held=True)
    waiting = server.start_enrollment(state_data={"Secret": "x"})
    browser.resize(1280, 900, dark=dark)
    for instance_id in (waiting, running):
        browser.visit(f"{server.url}/#{instance_id}")
        browser.wait(lambda wanted=instance_id: browser.text("#detail-id") == wanted, "the instance")  # type: ignore[misc]  # a default in a lambda
        ratios = browser.run(CONTRAST)

        assert len(ratios) > 40
        assert {text: ratio for text, ratio in ratios.items() if ratio < 4.5} == {}
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 150) is dark


def test_many_instances(server: Sandbox, browser: Browser) -> None:
    """
    The newest 200 of many are listed, and a filter finds the others.
    """
    oldest = server.start_enrollment("CN=oldest.keyexample.com")
    for number in range(250):
        server.start_enrollment(f"CN=host{number}.keyexample.com", approvals=0)
    browser.visit(server.url)
    browser.wait_for_text("#count", "the newest 200 of 251")
    assert len(browser.all("#instances a")) == 200

    Select(browser("#filter-status")).select_by_visible_text("Waiting for an approval")
    browser.wait_for_text("#count", "1")
    assert browser.row(oldest).is_displayed()
    browser("#filter-text").send_keys("nowhere")
    browser.wait_for_text("#empty", "No workflow instance is like that.")


def test_server_goes_and_comes_back(browser: Browser) -> None:
    """
    The page says that the sandbox does not answer, keeps what it has, and goes on when it is back.
    """
    first = Sandbox()
    with first:
        first.start_enrollment()
        browser.visit(first.url)
        browser.wait(lambda: browser.all("#instances a"), "the list")
    browser.wait(lambda: browser("#offline").is_displayed(), "the notice")
    assert browser.all("#instances a")
    browser("#enroll button").click()
    browser.wait_for_text("#message", "The sandbox does not answer.")

    with Sandbox(port=first.port):
        browser.wait(lambda: not browser("#offline").is_displayed(), "the notice to go")
        browser.wait(lambda: browser("#empty").is_displayed(), "the new sandbox's empty list")


def test_double_click_approves_once(server: Sandbox, browser: Browser) -> None:
    """
    An impatient double click is one approval, not two.
    """
    instance_id = server.start_enrollment(approvals=2)
    browser.visit(f"{server.url}/#{instance_id}")
    browser.wait_for_text("#detail-status", "Suspended")

    ActionChains(browser.driver).double_click(browser.button("approve")).perform()
    browser.wait_for_text("#detail-progress", "Manager approval: 1 of 2 approvals")

    assert server.instance(instance_id).received == 1


# The contrast of every visible text with the nearest background behind it, by WCAG's formula.
CONTRAST = """
const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const rgba = (text) => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const ground = (e) => {
    for (; e; e = e.parentElement) {
        const colour = rgba(getComputedStyle(e).backgroundColor);
        if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
};
const ratios = {};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || ["SCRIPT", "NOSCRIPT"].includes(element.tagName)) continue;
    const [a, b] = [light(rgba(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
    ratios[`${element.tagName} ${element.className} ${text.slice(0, 40)} ${Object.keys(ratios).length}`] =
        (a + 0.05) / (b + 0.05);
}
return ratios;
"""

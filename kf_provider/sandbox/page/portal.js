// The page of the sandbox. It asks the control paths under /sandbox, once a second while it is seen.
//
// Whatever comes from the server goes into the page as text, never as markup; the page's policy forbids anything else.
// Elements are changed in place, never made again while they stand for the same thing: so focus, selection and what
// somebody is typing survive every update.

const POLL_MILLISECONDS = 1000;
const MESSAGE_MILLISECONDS = 8000;
const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const PAST_TENSE = { approve: "Approved", deny: "Denied", stop: "Stopped", restart: "Restarted" };

const byId = (id) => document.getElementById(id);

const view = {
  openId: null, // the instance in the address
  shown: null, // the instance in the detail, as last received
  revealed: new Set(), // names of hidden values that were asked for
  focusWhenShown: null, // the instance whose detail takes the focus as soon as it is there
  round: 0, // of requests: an answer of an earlier round than the latest is out of date
  timer: 0,
  clockOffset: 0, // the sandbox's clock less the browser's, in milliseconds: it can be moved forward
  latest: { list: null, detail: null }, // path, ETag and content of the latest answer
};

// ---- text, elements

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Give `parent` one child for each item, in the order of the items; children of items that stay are kept. */
function reconcile(parent, items, keyOf, create, update) {
  const children = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const keys = items.map(keyOf);
  const kept = new Set(keys);
  for (const [key, child] of children) {
    if (!kept.has(key)) child.remove();
  }
  let place = parent.firstElementChild;
  for (const [n, item] of items.entries()) {
    const key = keys[n];
    let child = children.get(key);
    if (!child) {
      child = create(item);
      child.dataset.key = key;
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    update(child, item);
  }
}

function age(moment) {
  const minutes = Math.floor((Date.now() + view.clockOffset - Date.parse(moment)) / 60000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return `${Math.floor(minutes / 1440)} days ago`;
}

function setTime(element, moment) {
  setText(element, age(moment));
  element.dateTime = moment;
  element.title = new Date(moment).toLocaleString();
}

const statusWords = (status) => (status === "CanceledForRestart" ? "Canceled for restart" : status);

function setStatus(element, status) {
  setText(element, statusWords(status));
  element.dataset.status = status;
}

function progress(instance) {
  if (instance.status === "Suspended") {
    if (instance.received === instance.needed) return `${instance.step}: all approvals are in, the daily job moves it on`;
    return `${instance.step}: ${instance.received} of ${instance.needed} approvals`;
  }
  return instance.status === "Complete" ? "" : `at ${instance.step}`;
}

// ---- what is said

let messageTimer = 0;

function say(text, isError = false) {
  const message = byId("message");
  message.textContent = text;
  message.classList.toggle("error", isError);
  clearTimeout(messageTimer);
  messageTimer = setTimeout(() => setText(message, ""), MESSAGE_MILLISECONDS);
}

// ---- requests

class Refused extends Error {}

/** The JSON at `path`; the same object as before when the server says that nothing has changed. */
async function read(part, path) {
  const known = view.latest[part]?.path === path ? view.latest[part] : null;
  const response = await fetch(path, { cache: "no-store", headers: known ? { "If-None-Match": known.tag } : {} });
  const now = response.headers.get("X-Sandbox-Now");
  if (now) view.clockOffset = Date.parse(now) - Date.now();
  if (response.status === 304) return known.content;
  const content = await response.json();
  if (!response.ok) throw new Refused(content.error);
  view.latest[part] = { path, tag: response.headers.get("ETag"), content };
  return content;
}

async function send(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const content = await response.json();
  if (!response.ok) throw new Refused(content.error);
  return content;
}

/** Do what a person asked for, and say it when that fails. */
async function attempt(work) {
  // A poll that is under way would tell of the change before this does.
  view.round++;
  clearTimeout(view.timer);
  try {
    await work();
  } catch (error) {
    say(error instanceof Refused ? error.message : "The sandbox does not answer.", true);
  }
  await refresh();
}

function listPath() {
  const query = new URLSearchParams();
  for (const status of byId("filter-status").value.split(" ").filter(Boolean)) query.append("status", status);
  const text = byId("filter-text").value.trim();
  if (text) query.append("contains", text);
  return `/sandbox/instances?${query}`;
}

function detailPath(id) {
  const query = new URLSearchParams();
  for (const name of view.revealed) query.append("reveal", name);
  return `/sandbox/instances/${id}?${query}`;
}

/** Ask for what is on the page, show it, and come back in a second. */
async function refresh() {
  const round = ++view.round;
  clearTimeout(view.timer);
  const id = view.openId;
  let isOffline = false;
  try {
    const [list, instance] = await Promise.all([read("list", listPath()), id ? readInstance(id) : null]);
    if (round !== view.round) return;
    showList(list);
    if (id) showDetail(instance);
  } catch (error) {
    if (round !== view.round) return;
    isOffline = !(error instanceof Refused);
    if (!isOffline) say(error.message, true);
  }
  if (byId("offline").hidden === isOffline) byId("offline").hidden = !isOffline;
  if (!document.hidden) view.timer = setTimeout(refresh, POLL_MILLISECONDS);
}

async function readInstance(id) {
  try {
    return await read("detail", detailPath(id));
  } catch (error) {
    if (error instanceof Refused) return null; // purged, or from before a reset
    throw error;
  }
}

// ---- the list

function showList({ total, waiting, instances }) {
  document.title = waiting ? `(${waiting}) Keyfactor sandbox` : "Keyfactor sandbox";
  const isFiltered = Boolean(byId("filter-status").value || byId("filter-text").value.trim());
  setText(byId("count"), total > instances.length ? `the newest ${instances.length} of ${total}` : String(total));
  byId("empty").hidden = total > 0;
  setText(byId("empty"), isFiltered ? "No workflow instance is like that." : "No workflow instance yet. Start one above.");

  const list = byId("instances");
  const hadFocus = list.contains(document.activeElement);
  reconcile(list, instances, (instance) => instance.instance_id, makeRow, updateRow);
  if (hadFocus && !list.contains(document.activeElement)) byId("browse-title").focus();
}

function makeRow(instance) {
  const link = make("a", "", make("span", "status"), make("time", "age"), make("bdi", "title"), make("span", "step"));
  link.href = `#${instance.instance_id}`;
  return make("li", "", link);
}

function updateRow(row, instance) {
  const link = row.firstElementChild;
  const [status, time, title, step] = link.children;
  setStatus(status, instance.status);
  setTime(time, instance.start_date);
  setText(title, instance.title);
  setText(step, progress(instance));
  if (instance.instance_id === view.openId) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
}

// ---- one instance

function openFromAddress() {
  const asked = decodeHash();
  if (asked === view.openId) return;
  const closed = view.openId;
  view.openId = asked;
  view.shown = null;
  view.revealed.clear();
  view.focusWhenShown = asked;
  byId("comment").value = "";
  if (!asked) {
    showSections();
    const link = [...byId("instances").children].find((row) => row.dataset.key === closed)?.firstElementChild;
    (link ?? byId("browse-title")).focus();
  }
  refresh();
}

function decodeHash() {
  const text = location.hash.slice(1);
  if (text && !GUID.test(text)) say(`The address has ${text.slice(0, 60)} in it, which is not the id of an instance.`, true);
  return GUID.test(text) ? text.toLowerCase() : null;
}

function showSections() {
  byId("detail").hidden = !view.openId;
  byId("nothing").hidden = Boolean(view.openId);
  document.body.classList.toggle("open", Boolean(view.openId));
}

function showDetail(instance) {
  showSections();
  byId("detail").classList.toggle("missing", !instance);
  if (instance) fillDetail(instance);
  else setText(byId("detail-title"), "This instance is not on the server, or not any more.");
  const before = view.shown;
  view.shown = instance;
  if (view.focusWhenShown === view.openId) {
    view.focusWhenShown = null;
    byId("detail-title").focus();
    if (matchMedia("(max-width: 55rem)").matches) scrollTo(0, 0);
  } else if (instance && before && before.status !== instance.status) {
    say(`Now ${statusWords(instance.status)}: ${instance.title}`);
  }
}

function fillDetail(instance) {
  setText(byId("detail-title"), instance.title);
  setStatus(byId("detail-status"), instance.status);
  setText(byId("detail-progress"), [progress(instance), instance.status_message].filter(Boolean).join(" · "));
  byId("detail-successor").hidden = !instance.successor_id;
  if (instance.successor_id) {
    setText(byId("successor"), instance.successor_id);
    byId("successor").href = `#${instance.successor_id}`;
  }
  reconcile(byId("steps"), instance.steps, (step, n) => String(n), () => make("li"), updateStep);
  for (const button of document.querySelectorAll("#decide button")) {
    // Not `disabled`: that would take the focus away from who has just pressed it.
    button.setAttribute("aria-disabled", String(!instance.possible.includes(button.dataset.action)));
  }
  const decide = byId("decide");
  // Nothing can be done any more: the box goes, and whoever was in it is taken to the title.
  if (!instance.possible.length && decide.contains(document.activeElement)) byId("detail-title").focus();
  decide.hidden = !instance.possible.length;
  byId("signals-part").hidden = !instance.signals.length;
  reconcile(byId("signals"), instance.signals, (signal, n) => String(n), () => make("li"), (item, signal) => {
    updateSignal(item, signal, instance.status === "Suspended" ? "awaited" : "not received");
  });
  setText(byId("detail-id"), instance.instance_id);
  setText(byId("detail-reference"), String(instance.reference_id));
  setText(byId("detail-workflow"), `${instance.workflow} (${instance.workflow_type})`);
  setText(byId("detail-initiator"), instance.initiated_by);
  setTime(byId("detail-started"), instance.start_date);
  setTime(byId("detail-modified"), instance.last_modified);
  reconcile(byId("data"), instance.data, (row) => row.name, makeDataRow, updateDataRow);
  reconcile(byId("history"), instance.history, (event, n) => String(n), makeEvent, updateEvent);
}

const PLACES = { done: "done", current: "here now", ended: "ended here", ahead: "not reached" };

function updateStep(item, step) {
  item.dataset.place = step.place;
  setText(item, step.name);
  item.setAttribute("aria-label", `${step.name}: ${PLACES[step.place]}`);
  if (step.place === "current") item.setAttribute("aria-current", "step");
  else item.removeAttribute("aria-current");
}

function updateSignal(item, signal, missing) {
  item.dataset.received = signal.received;
  item.dataset.denied = signal.denied;
  // The comment of a denial is the instance's message, which stands above.
  const said = signal.comment && !signal.denied ? `: ${signal.comment}` : "";
  const answer = signal.denied ? "denied by" : "from";
  setText(item, signal.received ? `${signal.name} ${answer} ${signal.sender}${said}` : `${signal.name}: ${missing}`);
}

function makeDataRow(row) {
  const button = make("button", "small");
  button.type = "button";
  button.addEventListener("click", () => {
    if (!view.revealed.delete(row.name)) view.revealed.add(row.name);
    refresh();
  });
  return make("div", "", make("dt", ""), make("dd", "", button, make("pre", "")));
}

function updateDataRow(item, row) {
  const [name, content] = item.children;
  const [button, text] = content.children;
  const isShown = row.text !== undefined;
  setText(name, row.name);
  item.classList.toggle("added", row.added);
  name.title = row.added ? "Added or changed since the start" : "";
  button.hidden = !row.hidden;
  setText(button, isShown ? "Hide" : "Show");
  button.setAttribute("aria-label", `${isShown ? "Hide" : "Show"} ${row.name}`);
  button.setAttribute("aria-expanded", String(isShown));
  text.hidden = !isShown;
  setText(text, row.text ?? "");
}

function makeEvent() {
  return make("li", "", make("time", ""), make("span", ""));
}

function updateEvent(item, event) {
  const [time, text] = item.children;
  setText(time, new Date(event.time).toLocaleString());
  time.dateTime = event.time;
  setText(text, event.text);
}

// ---- what people do

function act(action) {
  const instance = view.shown;
  if (!instance) return;
  if (!instance.possible.includes(action)) {
    say(`${statusWords(instance.status)}: this cannot be done now.`, true);
    return;
  }
  attempt(async () => {
    const path = `/sandbox/instances/${instance.instance_id}/${action}`;
    const answer = await send(path, { comment: byId("comment").value });
    byId("comment").value = "";
    view.shown = null; // the change to come is told here
    if (action === "restart") location.hash = answer.instance_id;
    if (action === "approve" && answer.status === "Suspended") {
      say(`Approved. ${instance.received + 1} of ${instance.needed} approvals are in: it waits for more.`);
    } else {
      say(`${PAST_TENSE[action]}. ${action === "restart" ? "The new instance" : "The instance"} is ${statusWords(answer.status)}.`);
    }
  });
}

byId("enroll").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const subject = byId("subject").value;
    const answer = await send("/sandbox/enrollments", { subject, approvals: byId("approvals").valueAsNumber });
    say(`Started an enrollment of ${subject}.`);
    location.hash = answer.instance_id;
  });
});

for (const button of document.querySelectorAll("#decide button")) {
  button.addEventListener("click", (event) => {
    // The second half of a double click is no second approval.
    if (event.detail < 2) act(button.dataset.action);
  });
}

byId("filter").addEventListener("submit", (event) => event.preventDefault());
byId("filter").addEventListener("input", () => refresh());

byId("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(byId("detail-id").textContent);
    say("Copied the id.");
  } catch {
    getSelection().selectAllChildren(byId("detail-id"));
    say("Selected the id: copy it with Ctrl+C.");
  }
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(view.timer);
  else refresh();
});
addEventListener("hashchange", openFromAddress);

view.openId = decodeHash();
showSections();
refresh();

// The page of the desktop: which clusters there are, how each is, and why one is not.
"use strict";

const $ = (id) => document.getElementById(id);
const every = 1500; // milliseconds between looks
let tag = "";

// The token comes for the code in the address, once, and stays with this tab: in no cookie, which the browser would show to every port of this machine.
async function token() {
  const code = new URLSearchParams(location.hash.slice(1)).get("open");
  if (code) {
    history.replaceState(null, "", location.pathname);
    const answer = await fetch("/desktop/v1/open", { method: "POST", body: JSON.stringify({ code }) });
    if (answer.ok) sessionStorage.setItem("token", (await answer.json()).token);
  }
  return sessionStorage.getItem("token");
}

async function ask(path, headers = {}) {
  const answer = await fetch(path, { headers: { Authorization: "Bearer " + sessionStorage.getItem("token"), ...headers } });
  if (answer.status === 401) {
    sessionStorage.removeItem("token");
    throw new Error("This page was opened by an earlier start. " + again);
  }
  if (!answer.ok && answer.status !== 304) throw new Error((await answer.json()).message || answer.statusText);
  return answer;
}

const again = "Start “kubilitics-hub desktop” once more: it opens the page anew.";

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

// How a cluster is, in a word; the class is its colour.
function how(c) {
  const contact = c.contact ? c.contact.state : "";
  if (contact === "removed") return ["off", "not in the kubeconfig"];
  if (contact === "failed") return ["bad", "not connected"];
  if (c.freshness.state === "live") return ["live", "live"];
  return ["wait", contact === "connected" ? "learning" : "connecting"];
}

function facts(c) {
  const out = [];
  if (c.version) out.push("Kubernetes " + c.version);
  if (c.provider) out.push(c.provider);
  if (c.freshness.state === "stale" && c.freshness.since) out.push("known as of " + new Date(c.freshness.since).toLocaleString());
  return out.join(" · ");
}

function row(c) {
  const li = $("row").content.firstElementChild.cloneNode(true);
  const [kind, word] = how(c);
  li.className = kind;
  li.querySelector("h3").textContent = c.name;
  li.querySelector(".state").textContent = word;
  li.querySelector(".facts").textContent = facts(c);
  const why = li.querySelector(".why");
  why.textContent = c.contact && c.contact.state === "failed" ? c.contact.reason : "";
  why.hidden = !why.textContent;
  return li;
}

async function look() {
  const answer = await ask("/api/v1/clusters", tag ? { "If-None-Match": tag } : {});
  const status = await (await ask("/desktop/v1/kubeconfig")).json();
  notice(status.problem ? "The kubeconfig can’t be read as a whole: " + status.problem : "");
  $("files").textContent = "Followed: " + (status.files || []).join(", ");
  if (answer.status === 304) return;
  tag = answer.headers.get("ETag") || "";
  const items = (await answer.json()).items;
  $("list").replaceChildren(...items.map(row));
  $("none").hidden = items.length > 0;
  $("how").hidden = items.length === 0;
  const live = items.filter((c) => how(c)[0] === "live").length;
  $("count").textContent = items.length ? `${live} of ${items.length} live` : "";
}

async function save() {
  try {
    const text = await (await ask("/api/v1/kubeconfig")).blob();
    const a = document.createElement("a");
    a.href = URL.createObjectURL(text);
    a.download = "kubilitics.yaml";
    a.click();
    setTimeout(() => URL.revokeObjectURL(a.href), 1000);
  } catch (err) {
    notice(err.message);
  }
}

async function run() {
  $("save").addEventListener("click", save);
  if (!(await token())) {
    notice("This page is let in by a link that is used once. " + again);
    return;
  }
  for (;;) {
    try {
      await look();
    } catch (err) {
      notice(err instanceof TypeError ? "Kubilitics isn’t running any more, or doesn’t answer." : err.message);
      if (!sessionStorage.getItem("token")) return;
      tag = "";
    }
    await new Promise((done) => setTimeout(done, document.hidden ? 5 * every : every));
  }
}

run();

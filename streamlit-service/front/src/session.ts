// Whether the person may still be here: the moment they may not, nothing of the page stays to be read.

import type { Problem } from "./board";
import { follow } from "./feed";

const SEEN = "portal-seen"; // when somebody last did something, in any tab of this browser
const BUSY = ["pointerdown", "pointermove", "keydown", "scroll", "touchstart"];
const NOTE_EVERY_MS = 5_000;
const WARNED_MS = 60_000;

let watching = false;
let unfollow = () => {};

// Once, for as long as the page is loaded. `began`: when the portal first drew it.
export function watch(began: string, idleMinutes: number): void {
  if (watching) return;
  watching = true;
  if (idleMinutes > 0) watchIdleness(idleMinutes * 60_000);
  unfollow = follow(`/api/v1/session/events?since=${encodeURIComponent(began)}`, {
    changed() {},
    role: () => location.reload(), // other pages, other buttons
    out: leave,
    silent() {}, // My containers says so
  });
}

// What is open elsewhere ends with it. The card itself stays in its reader: that is said on the next page.
export async function signOut(): Promise<void> {
  const answer = await fetch("/api/v1/me/sessions", { method: "DELETE" }).catch(() => null);
  if (answer?.ok) location.replace("/signed-out");
  else leave({ message: "You could not be signed out.", hint: "The portal does not answer. Try again in a minute." });
}

function watchIdleness(limitMs: number): void {
  let noted = 0;
  const note = () => {
    const now = Date.now();
    if (now - noted < NOTE_EVERY_MS) return;
    noted = now;
    localStorage.setItem(SEEN, String(now));
  };
  for (const kind of BUSY) window.addEventListener(kind, note, { passive: true, capture: true });
  note();
  const warning = ask();
  const look = window.setInterval(() => {
    const idle = Date.now() - Number(localStorage.getItem(SEEN) ?? noted);
    if (idle >= limitMs) {
      window.clearInterval(look);
      location.replace(`/left-alone#${location.pathname}${location.search}`); // all that is open ends with the page
    } else if (idle >= limitMs - WARNED_MS) {
      if (!warning.open) warning.showModal();
    } else if (warning.open) warning.close(); // somebody is in another tab
  }, NOTE_EVERY_MS);
}

// Whether somebody is there; a touch of anything says so.
function ask(): HTMLDialogElement {
  const dialog = document.createElement("dialog");
  dialog.style.cssText = "max-width:26rem;padding:1.25rem;border-radius:.6rem;border:1px solid #8884;font:1rem/1.55 'Source Sans',system-ui,sans-serif";
  const stay = document.createElement("button");
  stay.textContent = "Stay";
  stay.style.cssText = "font:inherit;font-weight:600;padding:.4rem 1.1rem;border:0;border-radius:.5rem;background:#0b5cad;color:#fff";
  stay.onclick = () => dialog.close();
  dialog.append(text("h1", "Are you still there?"), text("p", "This page closes in a minute. Your containers keep running."), stay);
  document.body.append(dialog);
  return dialog;
}

function leave(problem: Problem): void {
  unfollow();
  const page = document.createElement("main");
  page.style.cssText = "max-width:34rem;margin:18vh auto;padding:0 1.5rem;font:1rem/1.55 system-ui,sans-serif;color:inherit";
  const heading = text("h1", problem.message);
  heading.tabIndex = -1;
  page.append(heading, text("p", problem.hint), again(problem.code));
  const marks = document.querySelectorAll(".portal-classification");
  document.body.replaceChildren(...marks, page); // nothing else that was there stays to be read
  heading.focus();
}

function text(tag: string, words: string): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = words;
  if (tag === "h1") element.style.cssText = "font-size:1.35rem;line-height:1.3;margin:0 0 .75rem;outline:none";
  return element;
}

function again(code?: string): HTMLElement {
  const link = document.createElement("a");
  link.textContent = code === "session_ended" ? "Continue" : "Try again";
  link.href = location.href;
  link.style.cssText = "color:inherit;font-weight:600";
  return link;
}

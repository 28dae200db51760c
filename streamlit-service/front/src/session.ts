// Whether the person may still be here: the moment they may not, nothing of the page stays to be read.

import type { Problem } from "./board";
import { follow } from "./feed";

const SEEN = "portal-seen"; // when somebody last did something, in any tab of this browser
const BUSY = ["pointerdown", "pointermove", "keydown", "scroll", "touchstart"];
const NOTE_EVERY_MS = 5_000;
const IDLE: Problem = {
  code: "idle",
  message: "This page was left alone.",
  hint: "Nobody touched it for a while, so it is closed. Your containers go on.",
};

let watching = false;

// Once, for as long as the page is loaded.
export function watch(idleMinutes: number): void {
  if (watching) return;
  watching = true;
  if (idleMinutes > 0) watchIdleness(idleMinutes * 60_000);
  follow("/api/v1/session/events", {
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
  const look = window.setInterval(() => {
    const idle = Date.now() - Number(localStorage.getItem(SEEN) ?? noted);
    if (idle < limitMs) return;
    window.clearInterval(look);
    leave(IDLE);
  }, NOTE_EVERY_MS);
}

function leave(problem: Problem): void {
  for (const part of document.body.children) (part as HTMLElement).style.display = "none";
  const page = document.createElement("main");
  page.setAttribute("role", "alert");
  page.style.cssText = "max-width:34rem;margin:18vh auto;padding:0 1.5rem;font:1rem/1.55 system-ui,sans-serif;color:inherit";
  page.append(text("h1", problem.message), text("p", problem.hint), again(problem.code));
  document.body.append(page);
}

function text(tag: string, words: string): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = words;
  if (tag === "h1") element.style.cssText = "font-size:1.35rem;line-height:1.3;margin:0 0 .75rem";
  return element;
}

function again(code?: string): HTMLElement {
  const link = document.createElement("a");
  link.textContent = code === "session_ended" || code === "idle" ? "Continue" : "Try again";
  link.href = location.href;
  link.style.cssText = "color:inherit;font-weight:600";
  return link;
}

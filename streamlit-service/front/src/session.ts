// Whether the person may still be here: the moment they may not, nothing of the page stays to be read.

import type { Problem } from "./board";
import { follow } from "./feed";

let watching = false;

// Once, for as long as the page is loaded.
export function watch(): void {
  if (watching) return;
  watching = true;
  follow("/api/v1/session/events", {
    changed() {},
    role: () => location.reload(), // other pages, other buttons
    out: leave,
    silent() {}, // My containers says so
  });
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
  link.textContent = code === "session_ended" ? "Continue" : "Try again";
  link.href = location.href;
  link.style.cssText = "color:inherit;font-weight:600";
  return link;
}

// The feed of changes: connected while somebody looks, and again by itself when it was cut.

import type { Change, Problem } from "./board";
import { refusal } from "./requests";

const SILENT_MS = 25_000; // the portal says every 10 s that it is there
const AGAIN_MS = [1_000, 2_000, 5_000, 10_000];

export interface Listener {
  changed(change: Change): void;
  out(problem: Problem): void;
  // The person may do more or less than before.
  role?(): void;
  // Since when nothing was heard; null while all is well.
  silent(since: number | null): void;
}

// Follow the portal until the returned function is called. A hidden page is told nothing.
export function follow(address: string, listener: Listener): () => void {
  let source: EventSource | null = null;
  let heard = Date.now();
  let failures = 0;
  let again = 0;

  function hear(): void {
    heard = Date.now();
    failures = 0;
    listener.silent(null);
  }

  function connect(): void {
    close();
    if (document.hidden) return;
    if (failures === 0) heard = Date.now(); // not since it was hidden
    source = new EventSource(address);
    source.addEventListener("board", (event) => {
      hear();
      listener.changed(JSON.parse(event.data) as Change);
    });
    source.addEventListener("alive", hear);
    source.addEventListener("role", () => listener.role?.());
    source.addEventListener("out", (event) => {
      stop();
      listener.out(JSON.parse(event.data) as Problem);
    });
    source.onerror = () => {
      close();
      listener.silent(heard);
      again = window.setTimeout(connect, AGAIN_MS[Math.min(failures++, AGAIN_MS.length - 1)]);
      // An EventSource does not say why: somebody may no longer be let in.
      void refusal().then((problem) => {
        if (problem === null) return;
        stop();
        listener.out(problem);
      });
    };
  }

  function close(): void {
    window.clearTimeout(again);
    source?.close();
    source = null;
  }

  function look(): void {
    if (!document.hidden && Date.now() - heard > SILENT_MS) listener.silent(heard);
  }

  const offline = () => listener.silent(heard);
  const watch = window.setInterval(look, 5_000);
  document.addEventListener("visibilitychange", connect);
  window.addEventListener("online", connect);
  window.addEventListener("offline", offline);
  function stop(): void {
    close();
    window.clearInterval(watch);
    document.removeEventListener("visibilitychange", connect);
    window.removeEventListener("online", connect);
    window.removeEventListener("offline", offline);
  }
  connect();
  return stop;
}

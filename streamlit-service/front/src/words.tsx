// Words that tick: ages, and sentences with **bold** parts.

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

// Now, in ms, renewed every second while the page is looked at.
export function useNow(): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = window.setInterval(() => document.hidden || setNow(Date.now()), 1_000);
    return () => window.clearInterval(timer);
  }, []);
  return now;
}

export function lasting(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  const days = Math.floor(s / 86_400);
  return days === 1 ? "1 day" : `${days} days`;
}

export function moment(iso: string): string {
  const text = new Date(iso).toLocaleString("en-GB", {
    weekday: "short", day: "numeric", month: "short", year: "numeric",
    hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
  });
  return text.replace(",", ""); // as the portal writes them elsewhere
}

const GONE = new Set(["stopped", "failed"]);

export function Age({ state, since }: { state: string; since: string }) {
  const ms = useNow() - Date.parse(since);
  const text = GONE.has(state)
    ? ms < 10_000 ? "just now" : `${lasting(ms)} ago`
    : `for ${lasting(ms)}`;
  return <time dateTime={since} title={moment(since)}>{text}</time>;
}

export function Sentence({ text }: { text: string }) {
  const parts = text.split("**");
  const shown: ComponentChildren[] = parts.map((part, i) => (i % 2 ? <b key={i}>{part}</b> : part));
  return <>{shown}</>;
}

export function Icon({ name }: { name: string }) {
  return <span class="icon" aria-hidden="true">{name}</span>;
}

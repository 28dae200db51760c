// What the portal tells of a person's containers: the mirror of board/*.py.

export interface Action {
  name: string;
  label: string;
  busy: string;
  loss: string[];
}

export interface Note {
  kind: "info" | "warning" | "error" | "plain";
  text: string;
  at: string; // of {at} in the text, or ""
}

export interface Step {
  word: string;
  at: "done" | "now" | "next";
}

export interface Progress {
  steps: Step[];
  share: number | null;
  text: string;
  begun: string;
  usual_s: number | null;
  slow_s: number | null;
  slow: string;
  layers: [number, string][];
}

export interface Meter {
  name: string;
  text: string;
  share: number;
  full: boolean;
  hour: (number | null)[];
}

export interface Ssh {
  with_card: string;
  with_key: string;
  config: string;
  fingerprint: string;
}

export interface Share {
  name: string;
  text: string;
  share: number;
}

// The event by which the bar, a component of its own, hears of what is held.
export const QUOTA = "portal:quota";

export interface Card {
  id: string;
  name: string;
  group: "running" | "moving" | "ended" | "stopped";
  state: string;
  word: string;
  icon: string;
  tone: string;
  since: string;
  facts: string[];
  jupyter: string;
  tensorboard: string;
  startable: boolean;
  image: string;
  anew: boolean;
  has_log: boolean;
  actions: Action[];
  notes: Note[];
  progress: Progress | null;
  meters: Meter[];
  ssh: Ssh | null;
}

export interface Change {
  summary: string[];
  quota: Share[];
  order: string[];
  cards: Card[];
}

export interface Problem {
  code?: string;
  message: string;
  hint: string;
}

// A change put into what is shown: cards that did not change stay the same objects.
export function merged(shown: readonly Card[], change: Change): Card[] {
  const known = new Map([...shown, ...change.cards].map((card) => [card.id, card]));
  return change.order.flatMap((id) => known.get(id) ?? []);
}

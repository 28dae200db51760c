// All rows: what runs first, then what moves; what is stopped is folded.

import { useEffect, useRef, useState } from "preact/hooks";
import { type Card, merged, type Problem, QUOTA } from "./board";
import { follow } from "./feed";
import { asksForLog } from "./log";
import { act } from "./requests";
import { type Asked, type Doing, Row } from "./row";
import { Tabs } from "./tabs";
import { Icon, lasting, useNow } from "./words";

const FEED = "/api/v1/board/events";

const TAKEN_MS = 5_000;

type By<T> = Record<string, T>;

function without<T>(all: By<T>, id: string): By<T> {
  const { [id]: _, ...rest } = all;
  return rest;
}

function moved(asked: Asked | undefined, card: Card): boolean {
  return asked !== undefined && (asked.state !== card.state || asked.since !== card.since);
}

export function Containers({ deploy }: { deploy: Doing["deploy"] }) {
  const [cards, setCards] = useState<Card[] | null>(null);
  const [summary, setSummary] = useState<string[]>([]);
  const [silent, setSilent] = useState<number | null>(null);
  const [out, setOut] = useState<Problem | null>(null);
  const [asked, setAsked] = useState<By<Asked>>({});
  const [problems, setProblems] = useState<By<Problem>>({});
  const tabs = useRef(new Tabs());
  const [, redraw] = useState(0);

  useEffect(() => follow(FEED, {
    changed(change) {
      setSummary(change.summary);
      dispatchEvent(new CustomEvent(QUOTA, { detail: change.quota }));
      setCards((shown) => merged(shown ?? [], change));
      // What was asked for is done when the portal tells of another state: figures come meanwhile.
      setAsked((all) => change.cards.filter((card) => moved(all[card.id], card))
        .reduce((left, card) => without(left, card.id), all));
      tabs.current.see(change.cards);
    },
    out: setOut,
    silent: setSilent,
  }), []);

  async function request(card: Card, action: string, busy: string): Promise<void> {
    setProblems((all) => without(all, card.id));
    const mine = { busy, state: card.state, since: card.since };
    setAsked((all) => ({ ...all, [card.id]: mine }));
    const problem = await act(card.id, action);
    if (problem === null) {
      // It was taken; should its news be missed (a hidden tab), the row is as the portal tells it.
      window.setTimeout(() => setAsked((all) => all[card.id] === mine ? without(all, card.id) : all), TAKEN_MS);
      return;
    }
    setAsked((all) => without(all, card.id));
    setProblems((all) => ({ ...all, [card.id]: problem }));
    tabs.current.close(card.id);
  }

  const doing: Doing = {
    act: (card, action, busy) => void request(card, action, busy),
    openWhenReady(card, start) {
      tabs.current.open(card);
      redraw((count) => count + 1);
      if (start) void request(card, "start", "Starting");
    },
    deploy,
    forget: (card) => setProblems((all) => without(all, card.id)),
  };

  if (out) return <p class="note error" role="alert"><b>{out.message}</b> {out.hint}</p>;
  if (cards === null) return <p class="faint" role="status">Loading your containers …</p>;
  const row = (card: Card) => (
    <Row key={card.id} card={card} asked={asked[card.id]} problem={problems[card.id]}
      opens={tabs.current.waits(card.id)} still={silent !== null} doing={doing} />
  );
  const stopped = cards.filter((card) => card.group === "stopped");
  const others = cards.filter((card) => card.group !== "stopped");
  return (
    <section aria-label="My containers">
      {cards.length > 0 && (
        <header>
          <p>{summary.join(" · ")}</p>
          <button type="button" onClick={() => deploy("")}><Icon name="add" />New container</button>
        </header>
      )}
      {silent !== null && <Silent since={silent} />}
      {cards.length === 0 && <Nothing deploy={() => deploy("")} />}
      <ul class="rows">{others.map(row)}</ul>
      {stopped.length > 0 && (
        <details open={others.length === 0 || stopped.some((card) => asksForLog(card.id))}>
          <summary>{stopped.length} stopped</summary>
          <ul class="rows">{stopped.map(row)}</ul>
        </details>
      )}
    </section>
  );
}

function Nothing({ deploy }: { deploy: () => void }) {
  return (
    <>
      <p class="note info">
        You have no containers yet. Once you deploy one, you can open, stop, start and remove it here.
      </p>
      <p><button type="button" class="primary" onClick={deploy}>Deploy your first container</button></p>
    </>
  );
}

function Silent({ since }: { since: number }) {
  const age = lasting(useNow() - since);
  const why = navigator.onLine ? "The portal does not answer" : "You are offline";
  return (
    <p class="note warning" role="status">
      <b>{why}; trying again.</b> Last update {age} ago. Running containers are not affected.
    </p>
  );
}

// One container: a row of what it is, what it uses and what to do; below it what is to be known.

import { useState } from "preact/hooks";
import type { Action, Card, Problem } from "./board";
import { Confirm } from "./confirm";
import { FiguresOf } from "./figures";
import { asksForLog, Log } from "./log";
import { type Item, Menu } from "./menu";
import { Meters } from "./meters";
import { Past } from "./past";
import { Way } from "./progress";
import { Connect } from "./ssh";
import { Age, Icon, moment, Sentence } from "./words";

export interface Asked {
  // What the row says meanwhile.
  busy: string;
  // Of the card when it was asked: until the portal tells of another, nothing has come of it.
  state: string;
  since: string;
}

export interface Doing {
  act(card: Card, action: string, busy: string): void;
  openWhenReady(card: Card, start: boolean): void;
  // An order for this image; like this container, where one is named.
  deploy(image: string, like?: string): void;
  forget(card: Card): void;
}

interface Props {
  card: Card;
  asked: Asked | undefined;
  problem: Problem | undefined;
  opens: boolean;
  still: boolean;
  doing: Doing;
}

const ICONS: Record<string, string> = { stop: "stop", restart: "restart_alt", remove: "delete" };

export function Row({ card, asked, problem, opens, still, doing }: Props) {
  const [confirming, setConfirming] = useState<Action | null>(null);
  const [below, setBelow] = useState<"ssh" | "past" | null>(null);
  const [drawer, setDrawer] = useState<"log" | "figures" | null>(asksForLog(card.id) ? "log" : null);
  const toggle = (part: "ssh" | "past") => setBelow(below === part ? null : part);
  const waits = asked !== undefined || still;
  const choose = (action: Action) =>
    action.loss.length ? setConfirming(action) : doing.act(card, action.name, action.busy);
  const decided = (yes: boolean) => {
    if (yes && confirming) doing.act(card, confirming.name, confirming.busy);
    setConfirming(null);
  };
  return (
    <li class={`row ${card.group}`} aria-label={card.name} aria-busy={asked !== undefined} data-id={card.id}>
      <div class="line">
        <div class="who">
          <h3>{card.name}</h3>
          <p class={`state ${asked ? "blue" : card.tone}`}>
            <Icon name={asked ? "pending" : card.icon} />
            {asked ? `${asked.busy} …` : card.word}{" "}
            {!asked && <Age state={card.state} since={card.since} />}
          </p>
          <p class="faint">{card.facts.join(" · ")}</p>
        </div>
        {card.meters.length > 0 ? <Meters meters={card.meters} /> : <span />}
        <div class="buttons">
          <Primary card={card} waits={waits} opens={opens} doing={doing} />
          <Menu label={`More for ${card.name}`} disabled={waits}
            items={items(card, choose, doing, { below: toggle, drawer: setDrawer })} />
        </div>
      </div>
      {problem && (
        <p class="note error" role="alert">
          <span><b>{problem.message}</b> {problem.hint}</span>
          <button type="button" aria-label="Dismiss" onClick={() => doing.forget(card)}><Icon name="close" /></button>
        </p>
      )}
      {card.notes.map((note) => (
        <p key={note.text} class={`note ${note.kind}`}><Sentence text={note.at ? note.text.replace("{at}", moment(note.at)) : note.text} /></p>
      ))}
      {card.progress && !asked && <Way progress={card.progress} />}
      {below === "past" && <Past id={card.id} name={card.name} state={card.state} since={card.since} />}
      {below === "ssh" && card.ssh && <Connect name={card.name} ssh={card.ssh} />}
      {drawer === "log" && <Log id={card.id} name={card.name} close={() => setDrawer(null)} />}
      {drawer === "figures" && <FiguresOf id={card.id} name={card.name} close={() => setDrawer(null)} />}
      {confirming && <Confirm name={card.name} action={confirming} decided={decided} />}
    </li>
  );
}

function Primary({ card, waits, opens, doing }: Pick<Props, "card" | "opens" | "doing"> & { waits: boolean }) {
  if (card.jupyter) {
    return (
      <a class="primary" href={card.jupyter} target="_blank" rel="noopener" aria-label={`Open JupyterLab of ${card.name}`}>
        <Icon name="open_in_new" />Open JupyterLab
      </a>
    );
  }
  if (card.startable) {
    return (
      <button type="button" class="primary" disabled={waits} aria-label={`Start ${card.name}`}
        onClick={() => doing.act(card, "start", "Starting")}>
        <Icon name="play_arrow" />Start
      </button>
    );
  }
  if (card.anew) {
    return (
      <button type="button" class="primary" onClick={() => doing.deploy(card.image)}>
        <Icon name="rocket_launch" />Deploy again
      </button>
    );
  }
  if (card.progress) {
    return (
      <button type="button" disabled={opens} aria-label={`Open ${card.name} when it is ready`}
        onClick={() => doing.openWhenReady(card, false)}>
        <Icon name="open_in_new" />{opens ? "Opens when ready" : "Open when ready"}
      </button>
    );
  }
  return null;
}

interface Open {
  below(part: "ssh" | "past"): void;
  drawer(which: "log" | "figures"): void;
}

function items(card: Card, choose: (action: Action) => void, doing: Doing, open: Open): Item[] {
  const found: Item[] = [];
  if (card.startable) {
    found.push({ label: "Start and open", icon: "open_in_new", choose: () => doing.openWhenReady(card, true) });
  }
  if (card.tensorboard) {
    found.push({ label: "Open TensorBoard", icon: "monitoring", href: card.tensorboard });
  }
  if (card.has_log) found.push({ label: "Logs", icon: "article", choose: () => open.drawer("log") });
  if (card.has_log) {
    found.push({ label: "Usage over time", icon: "show_chart", choose: () => open.drawer("figures") });
  }
  if (card.ssh) found.push({ label: "SSH", icon: "terminal", choose: () => open.below("ssh") });
  found.push({ label: "What happened", icon: "history", choose: () => open.below("past") });
  if (!card.anew) {
    found.push({ label: "Duplicate", icon: "content_copy", choose: () => doing.deploy(card.image, card.id) });
  }
  for (const action of card.actions) {
    found.push({
      label: action.label,
      icon: ICONS[action.name] ?? "bolt",
      danger: action.name === "remove",
      choose: () => choose(action),
    });
  }
  return found;
}

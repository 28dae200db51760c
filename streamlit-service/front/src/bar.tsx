// The bar above every page: where one is, where one can go, what one holds, who one is.

import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { QUOTA, type Share } from "./board";
import { signOut, watch } from "./session";
import { Icon, moment } from "./words";

interface Place {
  key: string;
  title: string;
  icon: string;
  here: boolean;
  // How much is wrong there; 0 for nothing.
  wrong: number;
}

interface Bar {
  here: string;
  product: string;
  organisation: string;
  environment: string;
  standins: boolean;
  groups: { label: string; places: Place[] }[];
  quota: Share[];
  began: string; // when this session was
  idle_minutes: number; // 0: never
  person: Somebody;
}

interface Somebody {
  name: string;
  role: string;
  last_visit: string;
  last_address: string;
  certificate_ends: string;
  help: string;
}

interface Mounted {
  data: Bar;
  parentElement: HTMLElement | ShadowRoot;
  setTriggerValue(name: string, value: unknown): void;
}

// Where somebody wants to go, until they are there: should the page come anew meanwhile (head.html), it comes there.
const WANTED = "portal-wanted";
const PATIENCE_MS = 3_000;
const IDLE = '[data-test-connection-state="CONNECTED"][data-test-script-state="notRunning"]';

// Who loads the page anew on the way to another comes to the other; who goes elsewhere by an address has changed their
// mind.
if (performance.getEntriesByType("navigation").some((entry) => (entry as PerformanceNavigationTiming).type === "reload"))
  window.setTimeout(() => arrive(wanted().at), PATIENCE_MS);
else if (wanted().path !== location.pathname) sessionStorage.removeItem(WANTED);

export default function mount({ data, parentElement, setTriggerValue }: Mounted): () => void {
  watch(data.began, data.idle_minutes);
  const root = parentElement.querySelector<HTMLElement>("#bar")!;
  if (wanted().path === `/${data.here}`) sessionStorage.removeItem(WANTED);
  const go = (key: string) => {
    const at = Date.now();
    setTriggerValue("go", key);
    if (key === data.here) return; // the page anew
    sessionStorage.setItem(WANTED, JSON.stringify({ path: `/${key}`, at }));
    window.setTimeout(() => arrive(at), PATIENCE_MS);
  };
  render(<Frame bar={data} go={go} />, root);
  return () => render(null, root);
}

function wanted(): { path: string; at: number } {
  return JSON.parse(sessionStorage.getItem(WANTED) ?? '{"path":"","at":0}');
}

// A choice that was lost, between two runs of the page, is followed as any link is.
function arrive(at: number): void {
  const { path, at: since } = wanted();
  if (!path || since !== at) return;
  if (document.querySelector(IDLE)) location.assign(path);
  else window.setTimeout(() => arrive(at), PATIENCE_MS);
}

function Frame({ bar, go }: { bar: Bar; go: (key: string) => void }) {
  const quota = useQuota(bar.quota);
  const here = bar.groups.flatMap((group) => group.places).find((place) => place.here);
  return (
    <div class="bar">
      <p class="product">
        <b>{bar.product}</b> <span class="organisation">{bar.organisation}</span>{" "}
        <span class="chip">{bar.environment}</span>
        {bar.standins && <span class="chip warn" title="Stand-in images are allowed">Stand-ins</span>}
      </p>
      <nav class="wide" aria-label="Pages">
        {bar.groups.map((group) => <Group key={group.label} {...group} go={go} folds />)}
      </nav>
      <Popover class="narrow" label={here ? `Menu: ${here.title}` : "Menu"} icon="menu">
        {(close) => (
          <nav aria-label="Pages">
            {bar.groups.map((group) => <Group key={group.label} {...group} go={(key) => (close(), go(key))} />)}
          </nav>
        )}
      </Popover>
      <ul class="quota" aria-label="Your quota">
        {quota.map(({ name, text, share }) => (
          <li key={name} title={`${name}: ${text}`}>
            {name} <span class="amount">{text}</span>
            <span class="meter"><span style={{ width: `${Math.round(100 * share)}%` }} /></span>
          </li>
        ))}
      </ul>
      <Popover class="person" label={bar.person.name} icon="account_circle">
        {(close) => <Person bar={bar} go={(key) => (close(), go(key))} />}
      </Popover>
    </div>
  );
}

// What the portal said when the page was drawn, until My containers is told of a change.
function useQuota(drawn: Share[]): Share[] {
  const [told, setTold] = useState<{ of: Share[]; quota: Share[] } | null>(null);
  useEffect(() => {
    const hear = (event: Event) => setTold({ of: drawn, quota: (event as CustomEvent<Share[]>).detail });
    addEventListener(QUOTA, hear);
    return () => removeEventListener(QUOTA, hear);
  }, [drawn]);
  return told?.of === drawn ? told.quota : drawn;
}

interface GroupProps {
  label: string;
  places: Place[];
  go: (key: string) => void;
  folds?: boolean;
}

// More places than fit beside the others are behind a button, with what is wrong in any of them.
const MANY = 6;

function Group({ label, places, go, folds }: GroupProps) {
  const here = places.find((place) => place.here);
  const list = (then: (key: string) => void) => (
    <ul aria-label={label}>
      {places.map((place) => <li key={place.key}><Link place={place} go={then} /></li>)}
    </ul>
  );
  if (!folds || places.length <= MANY) return list(go);
  const wrong = places.reduce((sum, place) => sum + place.wrong, 0);
  return (
    <Popover class={here ? "folded here" : "folded"} label={here ? `${label}: ${here.title}` : label} icon="expand_more"
      wrong={wrong}>
      {(close) => list((key) => (close(), go(key)))}
    </Popover>
  );
}

function Link({ place, go }: { place: Place; go: (key: string) => void }) {
  const choose = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return; // a new tab
    event.preventDefault();
    go(place.key);
  };
  return (
    <a href={`/${place.key}`} onClick={choose} {...(place.here ? { "aria-current": "page" as const } : {})}>
      <Icon name={place.icon} />{place.title}
      <Count wrong={place.wrong} />
    </a>
  );
}

function Count({ wrong }: { wrong: number }) {
  if (wrong === 0) return null;
  return (
    <span class="count" title={`${wrong} to look at`}>
      {wrong}<span class="unseen"> to look at</span>
    </span>
  );
}

function Person({ bar: { person }, go }: { bar: Bar; go: (key: string) => void }) {
  const guide = { key: "guide", title: "Guide", icon: "menu_book", here: false, wrong: 0 };
  return (
    <dl>
      <dt>Signed in as</dt><dd>{person.name}</dd>
      <dt>Role</dt><dd>{person.role}</dd>
      {person.last_visit && (
        <>
          <dt>You were last here</dt>
          <dd>{moment(person.last_visit)}{person.last_address && `, from ${person.last_address}`}</dd>
        </>
      )}
      <Open />
      <dt>Your certificate is valid until</dt><dd>{moment(person.certificate_ends)}</dd>
      <dt>Help</dt><dd>{person.help}</dd>
      <dt>How to use the portal</dt><dd><Link place={guide} go={go} /></dd>
      <dt>Leave</dt>
      <dd><button type="button" class="leave" onClick={() => void signOut()}><Icon name="logout" />Sign out</button></dd>
    </dl>
  );
}

interface Session {
  way: "page" | "ssh";
  address: string;
  began_at: string;
}

// What is open now, here and elsewhere: whoever sees an address that is not theirs signs out.
function Open() {
  const [sessions, setSessions] = useState<Session[]>([]);
  useEffect(() => {
    void fetch("/api/v1/me/sessions")
      .then(async (answer) => (answer.ok ? setSessions((await answer.json()) as Session[]) : undefined))
      .catch(() => undefined);
  }, []);
  if (sessions.length === 0) return null;
  return (
    <>
      <dt>Open now</dt>
      {places(sessions).map((words) => <dd key={words}>{words}</dd>)}
    </>
  );
}

// "2 pages from 10.0.0.5, since 9:14".
function places(sessions: Session[]): string[] {
  const groups = new Map<string, Session[]>();
  for (const each of sessions) {
    const place = `${each.way} ${each.address}`;
    groups.set(place, [...(groups.get(place) ?? []), each]);
  }
  return [...groups.values()].map((group) => {
    const [{ way, address, began_at }] = group as [Session];
    const noun = way === "page" ? "page" : "SSH connection";
    const since = `since ${moment(began_at)}`;
    return `${group.length} ${noun}${group.length === 1 ? "" : "s"}${address && ` from ${address}`}, ${since}`;
  });
}

interface PopoverProps {
  class: string;
  label: string;
  icon: string;
  wrong?: number;
  children: (close: () => void) => preact.ComponentChildren;
}

function Popover({ class: name, label, icon, wrong = 0, children }: PopoverProps) {
  const [open, setOpen] = useState(false);
  const whole = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return undefined;
    const outside = (event: Event) => {
      if (whole.current && !event.composedPath().includes(whole.current)) setOpen(false);
    };
    document.addEventListener("click", outside);
    return () => document.removeEventListener("click", outside);
  }, [open]);
  const escape = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || !open) return;
    setOpen(false);
    button.current?.focus();
  };
  return (
    <div ref={whole} class={`popover ${name}`} onKeyDown={escape}>
      <button ref={button} type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name={icon} /><span class="label">{label}</span><Count wrong={wrong} />
      </button>
      {open && <div class="panel">{children(() => setOpen(false))}</div>}
    </div>
  );
}

// The log in a drawer: follows, pauses on scroll, searches while one types, copies, downloads.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { memo } from "./memo";
import { type Line, MOST, read, type Source } from "./log_lines";
import { Icon } from "./words";

const NEAR_END = 40; // pixels
const HAND_MS = 1_000; // after a wheel, finger or key; a finger's swing goes on
const DRAG_MS = 10_000; // of the bar, whose end no event tells
const ALL: Source[] = ["JupyterLab", "TensorBoard", "SSH", "Notebooks"];

// A log has an address: one comes back to it with a bookmark, and it opens in a window of its own.
const ADDRESS = "log";

export function asksForLog(id: string): boolean {
  return new URL(location.href).searchParams.get(ADDRESS) === id;
}

function address(id: string | null): string {
  const url = new URL(location.href);
  if (id === null) url.searchParams.delete(ADDRESS);
  else url.searchParams.set(ADDRESS, id);
  return url.href;
}

export function Log({ id, name, close }: { id: string; name: string; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [lines, setLines] = useState<Line[] | null>(null);
  const [problem, setProblem] = useState("");
  const [words, setWords] = useState("");
  const [times, setTimes] = useState(false);
  const [wrap, setWrap] = useState(true);
  const [source, setSource] = useState<Source | "">("");

  useEffect(() => {
    dialog.current?.showModal();
    history.replaceState(history.state, "", address(id));
    const stop = new AbortController();
    read(id, stop.signal, (more) => setLines((all) => [...(all ?? []), ...more].slice(-MOST)))
      .then((said) => {
        setProblem(said);
        setLines((all) => all ?? []);
      })
      .catch(() => stop.signal.aborted || setProblem("The connection was lost. Open the log again."));
    return () => {
      stop.abort();
      history.replaceState(history.state, "", address(null));
    };
  }, [id]);

  const shown = useMemo(() => {
    const low = words.toLowerCase();
    return (lines ?? []).filter(
      (line) => (!source || line.source === source) && (!low || line.text.toLowerCase().includes(low)),
    );
  }, [lines, words, source]);
  const sources = useMemo(() => ALL.filter((each) => lines?.some((line) => line.source === each)), [lines]);
  const copy = () => void navigator.clipboard.writeText(shown.map((line) => line.text).join("\n"));

  return (
    <dialog ref={dialog} class="drawer" aria-labelledby="log-of" onClose={close}>
      <header>
        <h2 id="log-of">Log of {name}</h2>
        <a href={address(id)} target="_blank"><Icon name="open_in_new" />Open in a new tab</a>
        <button type="button" aria-label="Close" onClick={() => dialog.current?.close()}><Icon name="close" /></button>
      </header>
      <div class="tools">
        <input type="search" aria-label="Search" placeholder="Search" value={words}
          onInput={(event) => setWords(event.currentTarget.value)} />
        <span class="faint" role="status">
          {words ? `${shown.length} of ${lines?.length ?? 0} lines` : `${shown.length} ${shown.length === 1 ? "line" : "lines"}`}
        </span>
        <select aria-label="From" value={source}
          onChange={(event) => setSource(event.currentTarget.value as Source | "")}>
          <option value="">Everything</option>
          {sources.map((each) => <option key={each}>{each}</option>)}
        </select>
        <label><input type="checkbox" checked={times} onChange={() => setTimes(!times)} /> Times</label>
        <label><input type="checkbox" checked={wrap} onChange={() => setWrap(!wrap)} /> Wrap</label>
        <button type="button" onClick={copy}><Icon name="content_copy" />Copy</button>
        <a href={`/api/v1/deployments/${id}/logs?tail=${MOST}&download=true`} download={`${name}.log`}>
          <Icon name="download" />Download
        </a>
      </div>
      {problem && <p class="note warning">{problem}</p>}
      {lines === null && !problem && <p class="faint" role="status">Reading the log …</p>}
      {lines !== null && shown.length === 0 && !problem && (
        <p class="faint">{words ? "No line contains this text." : "The log is empty so far."}</p>
      )}
      <Lines lines={shown} words={words} times={times} wrap={wrap} />
    </dialog>
  );
}

function Lines({ lines, words, times, wrap }: { lines: Line[]; words: string; times: boolean; wrap: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  const byHand = useRef(0); // until when to scroll is somebody's wish
  const [follows, setFollows] = useState(true);
  const toEnd = () => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  };
  useLayoutEffect(() => {
    if (follows) toEnd();
  }, [lines, follows, wrap, times]);
  const hand = (ms: number) => {
    byHand.current = Date.now() + ms;
  };
  // Lines get their height when they come into sight: to be away from the end then is nobody's wish.
  const scrolled = () => {
    const at = box.current!;
    if (at.scrollHeight - at.scrollTop - at.clientHeight < NEAR_END) setFollows(true);
    else if (Date.now() < byHand.current) setFollows(false);
    else if (follows) toEnd();
  };
  return (
    <div class="log">
      <div ref={box} class={wrap ? "lines wrap" : "lines"} tabIndex={0} role="log" aria-label="Lines"
        onScroll={scrolled} onWheel={() => hand(HAND_MS)} onTouchMove={() => hand(HAND_MS)}
        onKeyDown={() => hand(HAND_MS)} onPointerDown={() => hand(DRAG_MS)}>
        {lines.map((line) => <Row key={line.number} line={line} words={words} times={times} />)}
      </div>
      {!follows && (
        <button type="button" class="newest" onClick={() => (hand(0), setFollows(true))}>
          <Icon name="arrow_downward" />Paused. Go to the newest line
        </button>
      )}
    </div>
  );
}

const Row = memo(({ line, words, times }: { line: Line; words: string; times: boolean }) => (
  <div class={`of ${line.source}`}>
    {times && <time dateTime={line.at}>{new Date(line.at).toLocaleTimeString()} </time>}
    {words ? marked(line.text, words) : line.text}
  </div>
));

function marked(text: string, words: string) {
  const low = text.toLowerCase();
  const parts = [];
  let from = 0;
  for (let at = low.indexOf(words.toLowerCase()); at >= 0; at = low.indexOf(words.toLowerCase(), from)) {
    parts.push(text.slice(from, at), <mark key={at}>{text.slice(at, at + words.length)}</mark>);
    from = at + words.length;
  }
  return [...parts, text.slice(from)];
}

// What a container used over time, in a drawer: processor, memory against its limit, GPUs.

import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "./words";

interface Point {
  at: string;
  cpus: number;
  memory_gb: number;
  memory_peak_gb: number;
  gpu_utilisation: number | null;
  gpu_memory_gb: number | null;
}

interface History {
  span_s: number;
  cpus: number;
  memory_gb: number;
  memory_peak_gb: number | null;
  points: Point[];
}

const PERIODS: [string, number][] = [["1 hour", 1], ["24 hours", 24], ["7 days", 168], ["90 days", 2160]];
const WIDE = 600;
const HIGH = 120;
const MUCH_LESS = 0.5; // of the memory that was asked for

export function FiguresOf({ id, name, close }: { id: string; name: string; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [hours, setHours] = useState(24);
  const [history, setHistory] = useState<History | null>(null);
  const [problem, setProblem] = useState("");

  useEffect(() => dialog.current?.showModal(), []);
  useEffect(() => {
    const stop = new AbortController();
    const since = new Date(Date.now() - hours * 3_600_000).toISOString();
    fetch(`/api/v1/deployments/${id}/figures?since=${encodeURIComponent(since)}`, { signal: stop.signal })
      .then(async (answer) => {
        if (!answer.ok) throw new Error();
        setHistory((await answer.json()) as History);
        setProblem("");
      })
      .catch(() => stop.signal.aborted || setProblem("The usage figures cannot be loaded right now. Try again in a minute."));
    return () => stop.abort();
  }, [id, hours]);

  return (
    <dialog ref={dialog} class="drawer" aria-labelledby="used-by" onClose={close}>
      <header>
        <h2 id="used-by">Usage of {name}</h2>
        <button type="button" aria-label="Close" onClick={() => dialog.current?.close()}><Icon name="close" /></button>
      </header>
      <div class="tools" role="group" aria-label="Period">
        {PERIODS.map(([label, length]) => (
          <button key={label} type="button" aria-pressed={length === hours} onClick={() => setHours(length)}>
            {label}
          </button>
        ))}
      </div>
      {problem && <p class="note warning" role="alert">{problem}</p>}
      {history && <Charts history={history} hours={hours} />}
    </dialog>
  );
}

function Charts({ history, hours }: { history: History; hours: number }) {
  if (history.points.length === 0) {
    return <p class="faint">No figures for this period. They are recorded every minute while the container runs.</p>;
  }
  const gpu = history.points.some((point) => point.gpu_utilisation !== null);
  const of = (title: string, unit: string, limit: number, value: (point: Point) => number | null) => (
    <Chart title={title} unit={unit} limit={limit} hours={hours} span_s={history.span_s}
      points={history.points.map((point) => [Date.parse(point.at), value(point)])} />
  );
  return (
    <div class="charts">
      <Advice history={history} />
      {of("CPUs", "", history.cpus, (point) => point.cpus)}
      {of("Memory", " GB", history.memory_gb, (point) => point.memory_peak_gb)}
      {gpu && of("GPU utilisation", " %", 100, (point) => point.gpu_utilisation)}
    </div>
  );
}

function Advice({ history }: { history: History }) {
  if (history.memory_peak_gb === null) return null;
  const peak = `Memory peak ${history.memory_peak_gb.toFixed(1)} of ${history.memory_gb} GB`;
  const share = history.memory_peak_gb / history.memory_gb;
  const advice = share < MUCH_LESS ? ": ask for less next time, to save your quota." : ".";
  return <p class="note info"><b>{peak}</b>{advice}</p>;
}

interface ChartProps {
  title: string;
  unit: string;
  limit: number;
  hours: number;
  span_s: number;
  points: [number, number | null][];
}

function Chart({ title, unit, limit, hours, span_s, points }: ChartProps) {
  const end = Date.now();
  const start = end - hours * 3_600_000;
  const x = (at: number) => ((at - start) / (end - start)) * WIDE;
  const y = (value: number) => HIGH - (Math.min(value, limit) / limit) * HIGH;
  const most = Math.max(...points.map(([, value]) => value ?? 0));
  const lines: string[][] = [];
  let before = 0;
  for (const [at, value] of points) {
    if (value === null) continue;
    // A gap stays a gap: longer than two of the points that it consists of.
    if (at - before > 2_000 * span_s) lines.push([]);
    lines.at(-1)!.push(`${x(at).toFixed(1)},${y(value).toFixed(1)}`);
    before = at;
  }
  const when = (at: number) => new Date(at).toLocaleString(undefined,
    hours <= 24 ? { timeStyle: "short" } : { dateStyle: "short" });
  return (
    <figure>
      <figcaption>{title}: up to {most < 1 ? most.toFixed(2) : round(most)} of {round(limit)}{unit}</figcaption>
      <svg viewBox={`0 0 ${WIDE} ${HIGH}`} preserveAspectRatio="none" role="img" aria-label={`${title} over time`}>
        {[0.25, 0.5, 0.75].map((part) => <line key={part} x1="0" x2={WIDE} y1={HIGH * part} y2={HIGH * part} />)}
        {lines.map((line) => <polyline key={line[0]} points={line.join(" ")} />)}
      </svg>
      <p class="faint axis"><span>{when(start)}</span><span>{when((start + end) / 2)}</span><span>now</span></p>
    </figure>
  );
}

function round(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toFixed(1)));
}

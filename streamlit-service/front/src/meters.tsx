// Bars of what a container uses, each with the last hour behind it.

import type { Meter } from "./board";

const HEIGHT = 18;

export function Hour({ hour }: { hour: (number | null)[] }) {
  // Gaps stay gaps: each run of minutes that were seen is a line of its own.
  const lines: string[] = [];
  let line: string[] = [];
  hour.forEach((percent, minute) => {
    if (percent === null) {
      if (line.length) lines.push(line.join(" "));
      line = [];
    } else {
      line.push(`${minute},${(HEIGHT - 1 - (percent / 100) * (HEIGHT - 2)).toFixed(1)}`);
    }
  });
  if (line.length) lines.push(line.join(" "));
  return (
    <svg viewBox={`0 0 ${hour.length} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      {lines.map((points) => <polyline key={points} points={points} />)}
    </svg>
  );
}

export function Meters({ meters }: { meters: Meter[] }) {
  return (
    <ul class="meters">
      {meters.map(({ name, text, share, full, hour }) => (
        <li key={name} class={full ? "full" : ""} title={`${name}: ${text}; the line is the last hour`}>
          <span class="label">{name}</span>
          <span class="amount">{text}</span>
          <Hour hour={hour} />
          <span class="bar"><span style={{ width: `${Math.round(share * 100)}%` }} /></span>
        </li>
      ))}
    </ul>
  );
}

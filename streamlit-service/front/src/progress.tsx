// The way to a notebook: steps, and how long it has taken beside how long it usually takes.

import type { Progress } from "./board";
import { Icon, lasting, useNow } from "./words";

const MARKS = { done: "check", now: "pending", next: "circle" };
const WORDS = { done: "done", now: "now", next: "to come" };

export function Way({ progress }: { progress: Progress }) {
  const ms = useNow() - Date.parse(progress.begun);
  const slow = progress.slow_s !== null && ms > progress.slow_s * 1000;
  const usual = progress.usual_s === null ? "" : `, usually ${lasting(progress.usual_s * 1000)}`;
  const said = [progress.text, `${lasting(ms)} so far${usual}`, slow ? progress.slow : ""];
  const share = progress.share === null ? {} : { value: progress.share };
  return (
    <div class="way">
      <ol>
        {progress.steps.map((step) => (
          <li key={step.word} class={step.at} aria-label={`${step.word}: ${WORDS[step.at]}`}>
            <Icon name={MARKS[step.at]} />{step.word}
          </li>
        ))}
      </ol>
      <progress aria-label="Progress" max={1} {...share} />
      <p class="faint">{said.filter(Boolean).join(" · ")}</p>
      {progress.layers.length > 0 && (
        <details>
          <summary>Layers</summary>
          {progress.layers.map(([done, text]) => (
            <p key={text} class="faint"><progress max={1} value={done} aria-label={text} /> {text}</p>
          ))}
        </details>
      )}
    </div>
  );
}

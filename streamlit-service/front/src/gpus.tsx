// GPUs: a strip for each VM, its GPUs side by side, the last hour beside them.

import { render } from "preact";
import { Hour } from "./meters";
import { Icon } from "./words";

interface Gpu {
  key: string;
  title: string;
  model: string;
  icon: string;
  word: string;
  tone: string;
  who: string;
  readings: string;
  busy: number | null;
}

interface Strip {
  name: string;
  facts: string;
  free: string;
  gpus: Gpu[];
  hour: (number | null)[];
  busy: string;
}

interface Mounted {
  data: { strips: Strip[] };
  parentElement: HTMLElement | ShadowRoot;
}

export default function mount({ data, parentElement }: Mounted): () => void {
  const root = parentElement.querySelector<HTMLElement>("#gpus")!;
  render(<ul class="strips">{data.strips.map((strip) => <Vm key={strip.name} strip={strip} />)}</ul>, root);
  return () => render(null, root);
}

function Vm({ strip }: { strip: Strip }) {
  return (
    <li class="strip">
      <div class="vm">
        <h3>{strip.name}</h3>
        <p>{strip.free}</p>
        <p class="faint">{strip.facts}</p>
      </div>
      <ul class="gpus">{strip.gpus.map((gpu) => <Cell key={gpu.key} gpu={gpu} />)}</ul>
      <div class="hour">
        {strip.hour.length > 0 && <Hour hour={strip.hour} />}
        <p class="faint">{strip.busy}</p>
      </div>
    </li>
  );
}

function Cell({ gpu }: { gpu: Gpu }) {
  return (
    <li class={`gpu ${gpu.tone}`} title={`${gpu.title}: ${gpu.model}`}>
      <p class="held"><Icon name={gpu.icon} /><b>{gpu.word}</b><span class="faint">{gpu.title}</span></p>
      <p class="who">{gpu.who}</p>
      <p class="faint">{gpu.model}</p>
      <p class="faint">{gpu.readings}</p>
      <span class="bar"><span style={{ width: `${gpu.busy ?? 0}%` }} /></span>
    </li>
  );
}

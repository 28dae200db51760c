// A list of which one is chosen: the whole row chooses, arrows move.

import { render } from "preact";
import { useState } from "preact/hooks";
import { Icon } from "./words";

interface Choice {
  key: string;
  title: string;
  tag: string;
  text: string;
  chips: string[];
  // At the right: an icon and its words.
  aside: [string, string][];
  warning: string;
}

interface Data {
  label: string;
  choices: Choice[];
  chosen: string;
  // The order as far as it is made; null for none.
  draft: object | null;
  // Whether the portal wants to know what was remembered.
  asks: boolean;
}

interface Mounted {
  data: Data;
  parentElement: HTMLElement | ShadowRoot;
  setStateValue(name: string, value: unknown): void;
  setTriggerValue(name: string, value: unknown): void;
}

const DRAFT = "portal-draft";

export default function mount({ data, parentElement, setStateValue, setTriggerValue }: Mounted): () => void {
  const root = parentElement.querySelector<HTMLElement>("#choices")!;
  remember(data, setTriggerValue);
  render(<Choices data={data} choose={(key) => setStateValue("chosen", key)} />, root);
  return () => render(null, root);
}

// An order that is half made outlives the page (draft.py).
function remember({ draft, asks }: Data, say: Mounted["setTriggerValue"]): void {
  const remembered = sessionStorage.getItem(DRAFT);
  if (asks) {
    if (remembered) say("draft", JSON.parse(remembered));
  } else if (draft) sessionStorage.setItem(DRAFT, JSON.stringify(draft));
  else sessionStorage.removeItem(DRAFT);
}

function Choices({ data, choose }: { data: Data; choose: (key: string) => void }) {
  // What was clicked shows at once; what the portal says counts.
  const [clicked, setClicked] = useState({ key: data.chosen, of: data.chosen });
  const chosen = clicked.of === data.chosen ? clicked.key : data.chosen;
  return (
    <fieldset>
      <legend class="unseen">{data.label}</legend>
      {data.choices.map((choice) => (
        <label key={choice.key} class={choice.key === chosen ? "choice chosen" : "choice"}>
          <input type="radio" name={data.label} checked={choice.key === chosen} onChange={() => {
            setClicked({ key: choice.key, of: data.chosen });
            choose(choice.key);
          }} />
          <span class="what">
            <span class="title"><b>{choice.title}</b> <span class="tag">{choice.tag}</span></span>
            <span class="text">{choice.text}</span>
            <span class="chips">{choice.chips.map((chip) => <span key={chip} class="chip">{chip}</span>)}</span>
            {choice.warning && <span class="warning">{choice.warning}</span>}
          </span>
          <span class="aside">
            {choice.aside.map(([icon, text]) => <span key={text}><Icon name={icon} />{text}</span>)}
          </span>
        </label>
      ))}
    </fieldset>
  );
}

// Asks before something is lost: what is kept, what is deleted, and a button that names the act.

import { useEffect, useRef } from "preact/hooks";
import type { Action } from "./board";
import { Sentence } from "./words";

interface Props {
  name: string;
  action: Action;
  decided(yes: boolean): void;
}

export function Confirm({ name, action, decided }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const act = action.label.replace(/ …$/, "");
  return (
    <dialog ref={dialog} aria-labelledby="asked" onCancel={() => decided(false)}>
      <h2 id="asked">{act} {name}?</h2>
      {action.loss.map((text) => <p key={text}><Sentence text={text} /></p>)}
      <div class="buttons">
        <button type="button" class="danger filled" onClick={() => decided(true)}>{act}</button>
        <button type="button" onClick={() => decided(false)}>Cancel</button>
      </div>
    </dialog>
  );
}

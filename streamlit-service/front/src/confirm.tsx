// Asks before something is lost: what is kept, what is deleted, and a button that names the act.

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Action } from "./board";
import { Sentence } from "./words";

interface Props {
  name: string;
  action: Action;
  decided(yes: boolean): void;
}

export function Confirm({ name, action, decided }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const answer = useRef(false);
  useLayoutEffect(() => dialog.current?.showModal(), []); // before anybody can press a button of it
  const act = action.label.replace(/ …$/, "");
  // It is closed, not only taken away: then the focus goes back to where it was.
  const decide = (yes: boolean) => {
    answer.current = yes;
    dialog.current?.close();
  };
  return (
    <dialog ref={dialog} aria-labelledby="asked" onClose={() => decided(answer.current)}>
      <h2 id="asked">{act} {name}?</h2>
      {action.loss.map((text) => <p key={text}><Sentence text={text} /></p>)}
      <div class="buttons">
        <button type="button" class="danger filled" onClick={() => decide(true)}>{act}</button>
        <button type="button" autofocus onClick={() => decide(false)}>Cancel</button>
      </div>
    </dialog>
  );
}

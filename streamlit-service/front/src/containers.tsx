// The page of a person's containers, as a component of Streamlit (components v2).

import { render } from "preact";
import { Containers } from "./page";

interface Mounted {
  parentElement: HTMLElement | ShadowRoot;
  setTriggerValue(name: string, value: unknown): void;
}

// Streamlit calls this again with each run of its script; what is shown comes from the feed.
export default function mount({ parentElement, setTriggerValue }: Mounted): () => void {
  const root = parentElement.querySelector<HTMLElement>("#containers")!;
  render(<Containers deploy={(image, like = "") => setTriggerValue("deploy", { image, like })} />, root);
  return () => render(null, root);
}

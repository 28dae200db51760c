// A menu behind a button (WAI-ARIA, "Menu Button"): arrows move, Escape closes, focus returns.

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon } from "./words";

export interface Item {
  label: string;
  icon: string;
  danger?: boolean;
  href?: string;
  choose?: () => void;
}

interface Props {
  label: string;
  items: Item[];
  disabled: boolean;
  children?: ComponentChildren;
}

export function Menu({ label, items, disabled }: Props) {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);

  useLayoutEffect(() => {
    if (!open) return undefined;
    focus(0);
    // Through a shadow root, a click's target is its host: composedPath() tells where it was.
    const outside = (event: Event) => {
      if (list.current && !event.composedPath().includes(list.current.parentElement!)) setOpen(false);
    };
    document.addEventListener("click", outside);
    return () => document.removeEventListener("click", outside);
  }, [open]);

  function entries(): HTMLElement[] {
    return [...(list.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
  }
  function focus(at: number): void {
    const all = entries();
    all[(at + all.length) % all.length]?.focus();
  }
  function close(): void {
    setOpen(false);
    button.current?.focus();
  }
  function move(event: KeyboardEvent): void {
    const at = entries().findIndex((entry) => entry.matches(":focus"));
    const keys: Record<string, () => void> = {
      ArrowDown: () => focus(at + 1),
      ArrowUp: () => focus(at - 1),
      Home: () => focus(0),
      End: () => focus(-1),
      Escape: close,
    };
    const step = keys[event.key];
    if (step) {
      event.preventDefault();
      step();
    } else if (event.key === "Tab") {
      setOpen(false);
    }
  }
  return (
    <div class="menu">
      <button ref={button} type="button" aria-haspopup="menu" aria-expanded={open} aria-label={label}
        disabled={disabled} onClick={() => setOpen(!open)}
        onKeyDown={(event) => event.key === "ArrowDown" && setOpen(true)}>
        <Icon name="more_horiz" />
      </button>
      {open && (
        <div ref={list} role="menu" aria-label={label} onKeyDown={move}>
          {items.map((item) => <Entry key={item.label} item={item} close={close} />)}
        </div>
      )}
    </div>
  );
}

function Entry({ item, close }: { item: Item; close: () => void }) {
  const inside = <><Icon name={item.icon} />{item.label}</>;
  if (item.href) {
    return (
      <a role="menuitem" tabIndex={-1} href={item.href} target="_blank" rel="noopener" onClick={close}>
        {inside}
      </a>
    );
  }
  const choose = () => {
    close();
    item.choose?.();
  };
  return (
    <button type="button" role="menuitem" tabIndex={-1} class={item.danger ? "danger" : ""} onClick={choose}>
      {inside}
    </button>
  );
}

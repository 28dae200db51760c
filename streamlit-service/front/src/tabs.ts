// Browser tabs that were opened by a click and wait for a notebook: later no tab may be opened.

import type { Card } from "./board";

const ENDED = new Set(["failed", "stopped"]);

export class Tabs {
  private readonly waiting = new Map<string, { tab: Window; begun: boolean }>();

  waits(id: string): boolean {
    const found = this.waiting.get(id);
    if (found?.tab.closed) this.waiting.delete(id);
    return this.waiting.has(id);
  }

  open(card: Card): void {
    const tab = window.open("", "_blank");
    if (tab === null) return; // the browser forbids it: the row has its link
    tab.opener = null;
    tab.document.title = card.name;
    tab.document.body.textContent = `${card.name} is starting. This tab opens JupyterLab when it is ready.`;
    tab.document.body.style.cssText = "font: 1.1rem system-ui; margin: 3rem; color-scheme: light dark";
    this.waiting.set(card.id, { tab, begun: false });
  }

  // What changed: notebooks that answer are opened, tabs of those that will not are closed.
  see(cards: readonly Card[]): void {
    for (const card of cards) {
      const found = this.waiting.get(card.id);
      if (!found) continue;
      if (card.jupyter) {
        found.tab.location.href = card.jupyter;
        this.waiting.delete(card.id);
      } else if (!ENDED.has(card.state)) {
        found.begun = true;
      } else if (found.begun) {
        this.close(card.id);
      }
    }
  }

  close(id: string): void {
    this.waiting.get(id)?.tab.close();
    this.waiting.delete(id);
  }
}

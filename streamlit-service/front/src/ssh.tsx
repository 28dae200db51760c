// How to connect by SSH, each command with a button that copies it.

import { useState } from "preact/hooks";
import type { Ssh } from "./board";
import { Icon } from "./words";

function Copied({ title, text }: { title: string; text: string }) {
  const [done, setDone] = useState(false);
  async function copy() {
    await navigator.clipboard.writeText(text);
    setDone(true);
    window.setTimeout(() => setDone(false), 2_000);
  }
  return (
    <div class="command">
      <p>{title}</p>
      <pre>{text}</pre>
      <button type="button" onClick={() => void copy()} aria-label={`Copy: ${title}`}>
        <Icon name={done ? "check" : "content_copy"} />{done ? "Copied" : "Copy"}
      </button>
    </div>
  );
}

export function Connect({ name, ssh }: { name: string; ssh: Ssh }) {
  return (
    <div class="ssh">
      <Copied title="With your smart card (OpenSC installed):" text={ssh.with_card} />
      <Copied title="With a key that you added on the SSH keys page:" text={ssh.with_key} />
      <Copied title="For ~/.ssh/config:" text={ssh.config} />
      <p>
        <a href={`vscode://vscode-remote/ssh-remote+${name}/home/scientist`}>Open in VS Code</a>{" "}
        works when these lines are in your ~/.ssh/config.
      </p>
      <p class="faint">
        At the first connection, compare the fingerprints: the portal's is {ssh.fingerprint || "not known yet"},
        the container's is “SSH host key” in its log.
      </p>
    </div>
  );
}

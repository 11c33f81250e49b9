import { useEffect, useState } from "preact/hooks";
import { DEV_TOKEN } from "../jobs/queues.ts";
import { icons } from "../ui/icons.tsx";

const jobs = `${location.host}/api/queues/mail/jobs`;

const COMMAND = [
  `curl -X POST ${jobs} \\`,
  `  -H 'Authorization: Bearer ${DEV_TOKEN}' \\`,
  `  -H 'Content-Type: application/json' \\`,
  `  -d '{"name":"email","payload":{"to":"a@example.com","subject":"Hi","body":"Hello"}}'`,
].join("\n");

const COPIED_MS = 2_000;

/** The same job from a terminal. */
export function Curl() {
  const [copied, setCopied] = useState<"yes" | "failed">();
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(undefined), COPIED_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = () =>
    navigator.clipboard.writeText(COMMAND).then(
      () => setCopied("yes"),
      () => setCopied("failed"),
    );
  return (
    <figure class="curl">
      <figcaption>
        <span>Or from a terminal</span>
        <button type="button" class="button button-quiet" onClick={() => void copy()}>
          {icons.copy}
          <span role="status">{copied === "yes" ? "Copied" : copied === "failed" ? "Not allowed" : "Copy"}</span>
        </button>
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard. */}
      <pre tabIndex={0}>
        <code data-testid="curl">{COMMAND}</code>
      </pre>
    </figure>
  );
}

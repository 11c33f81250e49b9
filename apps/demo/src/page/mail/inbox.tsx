import { mail } from "../jobs/queues.ts";
import { edgeApi } from "../live/edge-api.ts";
import { useLive } from "../live/use-live.ts";
import { clock } from "../ui/format.ts";

const SHOWN = 5;

/** What the handler of `email` has delivered. */
export function Inbox({ reachable }: { readonly reachable: boolean }) {
  const { value } = useLive(mail, "inbox", edgeApi.inbox, { enabled: reachable });
  return (
    <section class="inbox" aria-label="Inbox">
      <header class="panel-head">
        <h3>Inbox</h3>
        {value && value.length > SHOWN && <span class="quiet">the last {SHOWN}</span>}
      </header>
      {value?.length === 0 && <p class="empty">No mail yet.</p>}
      <ul class="mails">
        {value?.slice(0, SHOWN).map(({ id, to, subject, body, deliveredAt }) => (
          <li key={id} class="mail" data-mail-id={id}>
            <p class="mail-head">
              <strong>{subject}</strong>
              <time dateTime={new Date(deliveredAt).toISOString()}>{clock(deliveredAt)}</time>
            </p>
            <p class="mail-to">to {to}</p>
            <p class="mail-body">{body}</p>
          </li>
        ))}
      </ul>
    </section>
  );
}

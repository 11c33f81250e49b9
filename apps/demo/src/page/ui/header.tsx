import { shownThumbnails } from "../files/thumbnails.ts";
import { answering, online } from "../state/network.ts";
import { useValue } from "../state/observable.ts";
import { change, settings } from "../state/settings.ts";
import { plural } from "./format.ts";
import { Switch } from "./switch.tsx";

/** What this is, and the network between its two halves. */
export function Header() {
  const { offline } = useValue(settings);
  const isOnline = useValue(online);
  const isAnswering = useValue(answering);
  const waiting = useValue(shownThumbnails)?.filter(({ deliveredAt }) => deliveredAt === undefined).length ?? 0;
  return (
    <header class="top">
      <div class="top-name">
        <svg class="mark" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true" focusable="false">
          <path d="M3 12h26M7 12v9M16 12v9M25 12v9" />
          <path class="mark-water" d="M3 26c2.2-1.8 4.3-1.8 6.5 0s4.3 1.8 6.5 0 4.3-1.8 6.5 0 4.3 1.8 6.5 0" />
        </svg>
        <h1>Quayside</h1>
        <p>One typed job queue, in the tab and at the edge.</p>
      </div>
      <div class="top-link">
        <span class="link-state" data-online={isOnline && isAnswering} role="status">
          {!isOnline ? "no network" : isAnswering ? "connected" : "the edge does not answer"}
          {waiting > 0 && `, ${plural(waiting, "thumbnail")} to deliver`}
        </span>
        <Switch
          label="No network"
          hint="Nothing gets through to the edge; thumbnails wait in this tab's queue until it is back"
          on={offline}
          testId="offline"
          onChange={(on) => change({ offline: on })}
        />
      </div>
    </header>
  );
}

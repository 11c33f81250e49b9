import type { JobRecord } from "@quayside/core";
import { useEffect, useState } from "preact/hooks";
import type { GalleryView } from "../../jobs.ts";
import { gallery } from "../jobs/queues.ts";
import { edgeApi } from "../live/edge-api.ts";
import { useLive } from "../live/use-live.ts";
import { useNow } from "../live/use-now.ts";
import { clock, countdown, plural } from "../ui/format.ts";

interface Sheets {
  readonly view: GalleryView;
  readonly next: JobRecord | undefined;
}

async function load(): Promise<Sheets> {
  const [view, delayed] = await Promise.all([edgeApi.gallery(), gallery.list({ state: "delayed" })]);
  return { view, next: delayed.jobs.find(({ name }) => name === "contact-sheet") };
}

/** The last contact sheet, and when the next one is due. */
export function ContactSheet({ reachable }: { readonly reachable: boolean }) {
  const { value } = useLive(gallery, "sheets", load, { enabled: reachable });
  const sheet = value?.view.sheet;
  const picture = useSheet(sheet?.number, reachable);
  const next = value?.next;
  const now = useNow(next !== undefined);
  return (
    <section class="sheet" aria-label="Contact sheet">
      <header class="panel-head">
        <h3>Contact sheet</h3>
        <span class="quiet" data-testid="sheet-status">
          {next
            ? `next ${countdown(next.availableAt - now)}, by alarm`
            : sheet && `${plural(sheet.thumbnails, "picture")}, made at ${clock(sheet.builtAt)}`}
        </span>
      </header>
      {sheet && picture ? (
        <a class="sheet-picture" href={picture} target="_blank" rel="noreferrer">
          <img src={picture} alt={`Contact sheet ${sheet.number}`} data-testid="sheet" data-sheet={sheet.number} />
        </a>
      ) : (
        <p class="empty">
          {value ? "Made five seconds after the last thumbnail has arrived, also with this page closed." : "Looking…"}
        </p>
      )}
    </section>
  );
}

/** The sheet as a picture that this page can show: it is fetched with the token, so an address alone would not do. */
function useSheet(number: number | undefined, reachable: boolean): string | undefined {
  const [shown, setShown] = useState<{ readonly number: number; readonly url: string }>();
  useEffect(() => {
    if (number === undefined || !reachable || shown?.number === number) return;
    let stopped = false;
    edgeApi
      .sheet(number)
      .then((blob) => {
        if (!stopped) setShown({ number, url: URL.createObjectURL(blob) });
      })
      // The next change asks again.
      .catch(() => {});
    return () => {
      stopped = true;
    };
  }, [number, reachable, shown]);
  useEffect(() => {
    if (!shown) return;
    return () => URL.revokeObjectURL(shown.url);
  }, [shown]);
  return shown?.url;
}

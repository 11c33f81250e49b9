import type { JobRecord } from "@quayside/core";
import { ContactSheet } from "./edge/contact-sheet.tsx";
import { gallery, images, mail } from "./jobs/queues.ts";
import { useReachable } from "./live/visible.ts";
import { Compose } from "./mail/compose.tsx";
import { Curl } from "./mail/curl.tsx";
import { Inbox } from "./mail/inbox.tsx";
import { QueuePanel } from "./panel/queue-panel.tsx";
import { DropZone } from "./tab/drop-zone.tsx";
import { Options } from "./tab/options.tsx";
import { Thumbnails } from "./tab/thumbnails.tsx";
import { Header } from "./ui/header.tsx";
import { Notices } from "./ui/notices.tsx";

/** What a job is about, by its payload. */
function subject({ name, payload }: JobRecord): string {
  const fields = payload as Readonly<Record<string, unknown>>;
  return name === "contact-sheet" ? `Sheet ${fields["sheet"]}` : String(fields["name"] ?? fields["to"] ?? name);
}

/** Two stories, each from left to right: pictures from the tab to the edge, mail from anywhere to the edge. */
export function App() {
  const reachable = useReachable();
  return (
    <>
      <Header />
      <main>
        <div class="story">
          <section class="home" aria-labelledby="tab-title">
            <h2 id="tab-title">In this tab</h2>
            <p class="home-about">
              Jobs in IndexedDB: they survive reload, crash and closed tabs, with or without a network.
            </p>
            <DropZone />
            <Options />
            <QueuePanel queue={images} subject={subject} empty="No jobs yet. Each picture becomes one." />
            <Thumbnails />
          </section>
          <section class="home" aria-labelledby="edge-title">
            <h2 id="edge-title">At the edge</h2>
            <p class="home-about">Jobs in a Durable Object: stored in SQLite, worked where they lie, woken by alarm.</p>
            <ContactSheet reachable={reachable} />
            <QueuePanel
              queue={gallery}
              subject={subject}
              reachable={reachable}
              empty="No jobs yet. Each finished thumbnail arrives here as one."
            />
          </section>
        </div>
        <div class="story">
          <section class="home" aria-labelledby="http-title">
            <h2 id="http-title">From anywhere, over HTTP</h2>
            <p class="home-about">
              The same queue behind an API: from this form, a terminal, any program with a token.
            </p>
            <Compose />
            <Curl />
          </section>
          <section class="home" aria-labelledby="mail-title">
            <h2 id="mail-title">Mail at the edge</h2>
            <p class="home-about">
              Failed deliveries are tried again, later each time; what cannot succeed stays to be looked at.
            </p>
            <QueuePanel
              queue={mail}
              subject={subject}
              reachable={reachable}
              empty="No jobs yet. Write one, or use curl."
            />
            <Inbox reachable={reachable} />
          </section>
        </div>
      </main>
      <Notices />
    </>
  );
}

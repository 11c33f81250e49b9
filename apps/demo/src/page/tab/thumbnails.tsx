import { useState } from "preact/hooks";
import { removeThumbnails, shownThumbnails, type Thumbnail } from "../files/thumbnails.ts";
import { useValue } from "../state/observable.ts";
import { count, pixels, plural } from "../ui/format.ts";

/** Three rows of them, as a rule. */
const FIRST = 12;

/** The thumbnails on this device, and which of them the edge has. */
export function Thumbnails() {
  const thumbnails = useValue(shownThumbnails);
  const [all, setAll] = useState(false);
  if (!thumbnails) return null;
  const delivered = thumbnails.filter(({ deliveredAt }) => deliveredAt !== undefined);
  return (
    <section class="thumbnails" aria-label="Thumbnails">
      <header class="panel-head">
        <h3>Thumbnails</h3>
        {thumbnails.length > 0 && (
          <span class="panel-tools">
            <span class="quiet" data-testid="delivered">
              {delivered.length} of {plural(thumbnails.length, "thumbnail")} at the edge
            </span>
            <button
              type="button"
              class="button button-quiet"
              disabled={delivered.length === 0}
              onClick={() => void removeThumbnails(delivered.map(({ source }) => source))}
            >
              Clear delivered
            </button>
          </span>
        )}
      </header>
      {thumbnails.length === 0 ? (
        <p class="empty">Finished thumbnails appear here and stay, also after a reload.</p>
      ) : (
        <ul class="grid">
          {(all ? thumbnails : thumbnails.slice(0, FIRST)).map((thumbnail) => (
            <Card key={thumbnail.source} thumbnail={thumbnail} />
          ))}
        </ul>
      )}
      {thumbnails.length > FIRST && (
        <button type="button" class="button button-quiet thumbnails-more" onClick={() => setAll(!all)}>
          {all ? "Show fewer" : `Show all ${count(thumbnails.length)}`}
        </button>
      )}
    </section>
  );
}

function Card({ thumbnail }: { readonly thumbnail: Thumbnail }) {
  const { source, name, width, height, originalWidth, originalHeight, dataUrl, deliveredAt, madeAt } = thumbnail;
  const delivered = deliveredAt !== undefined;
  return (
    <li class="card" data-source={source} data-delivered={delivered} data-made-at={madeAt}>
      <div class="card-picture">
        <img
          src={dataUrl}
          width={width}
          height={height}
          alt={name}
          data-testid="thumbnail"
          data-width={width}
          data-height={height}
        />
      </div>
      <p class="card-name" title={name}>
        {name}
      </p>
      <p class="card-size">
        <span title={`made from ${pixels(originalWidth, originalHeight)}`}>{pixels(width, height)}</span>
        <span
          class="card-place"
          data-delivered={delivered}
          title={delivered ? "Delivered to the edge" : "On this device only"}
        >
          {delivered ? "edge" : "here"}
        </span>
      </p>
    </li>
  );
}

import { useEffect, useRef, useState } from "preact/hooks";
import { ACCEPTED, takeIn } from "../jobs/intake.ts";
import { icons } from "../ui/icons.tsx";

/** Takes pictures: dropped on it, or picked from the dialog that it opens. */
export function DropZone() {
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  useEffect(keepFilesFromOpening, []);
  const onDrop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void takeIn([...(event.dataTransfer?.files ?? [])]);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping is for the mouse; the button inside does the same.
    <div
      class="drop"
      data-over={over}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={onDrop}
    >
      <span class="drop-glyph">{icons.picture}</span>
      <p>
        <strong>Drop pictures here</strong>
        <span>PNG or JPEG. They never leave this device, only their thumbnails do.</span>
      </p>
      <button type="button" class="button button-primary" onClick={() => input.current?.click()}>
        Choose files
      </button>
      <input
        ref={input}
        type="file"
        accept={ACCEPTED.join(",")}
        multiple
        hidden
        data-testid="files"
        onChange={({ currentTarget }) => {
          void takeIn([...(currentTarget.files ?? [])]);
          // So that the same file can be picked again.
          currentTarget.value = "";
        }}
      />
    </div>
  );
}

/** A file dropped beside the zone would be opened in place of this page. */
function keepFilesFromOpening(): () => void {
  const refuse = (event: Event) => event.preventDefault();
  for (const name of ["dragover", "drop"]) addEventListener(name, refuse);
  return () => {
    for (const name of ["dragover", "drop"]) removeEventListener(name, refuse);
  };
}

import { dismiss, notices } from "../state/notices.ts";
import { useValue } from "../state/observable.ts";
import { icons } from "./icons.tsx";

/** What went wrong, in a corner, until it is read. */
export function Notices() {
  const shown = useValue(notices);
  return (
    <div class="notices" role="status">
      {shown.map(({ id, text }) => (
        <div key={id} class="notice">
          <p>{text}</p>
          <button type="button" class="button button-icon" aria-label="Dismiss" onClick={() => dismiss(id)}>
            {icons.cancel}
          </button>
        </div>
      ))}
    </div>
  );
}

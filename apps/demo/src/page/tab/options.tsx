import { useValue } from "../state/observable.ts";
import { change, settings } from "../state/settings.ts";
import { Switch } from "../ui/switch.tsx";

/** Switches to see what else happens besides success. */
export function Options() {
  const { failFirst, slow } = useValue(settings);
  return (
    <div class="options">
      <Switch
        label="Fail first attempts"
        hint="The first attempt of every resize throws; the next one, a second later, succeeds"
        on={failFirst}
        testId="fail-first"
        onChange={(on) => change({ failFirst: on })}
      />
      <Switch
        label="Slow motion"
        hint="Every step of a resize takes more than half a second"
        on={slow}
        testId="slow"
        onChange={(on) => change({ slow: on })}
      />
    </div>
  );
}

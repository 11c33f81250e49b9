export interface SwitchProps {
  readonly label: string;
  readonly on: boolean;
  readonly onChange: (on: boolean) => void;
  /** What it does, for those who wonder. */
  readonly hint?: string;
  readonly testId?: string;
}

/** A switch is a checkbox that takes effect at once. */
export function Switch({ label, on, onChange, hint, testId }: SwitchProps) {
  return (
    <label class="switch" title={hint}>
      <input
        type="checkbox"
        role="switch"
        checked={on}
        aria-checked={on}
        data-testid={testId}
        onChange={({ currentTarget }) => onChange(currentTarget.checked)}
      />
      <span>{label}</span>
    </label>
  );
}

import { type PayloadIssue, QuaysideError } from "@quayside/core";
import { useId, useState } from "preact/hooks";
import { mail } from "../jobs/queues.ts";
import { messageOf } from "../ui/format.ts";

type Field = "to" | "subject" | "body";
type Errors = Partial<Record<Field | "form", string>>;

const EXAMPLE = { to: "a@example.com", subject: "Hi", body: "Hello" };
const DELAYS = [
  { label: "now", delay: 0 },
  { label: "in 5 seconds", delay: 5_000 },
  { label: "in 30 seconds", delay: 30_000 },
] as const;

/** Adds an `email` job straight to the edge. The job map that checks it there checks it here first. */
export function Compose() {
  const [message, setMessage] = useState(EXAMPLE);
  const [delay, setDelay] = useState(0);
  const [errors, setErrors] = useState<Errors>({});
  const [status, setStatus] = useState("");
  const delayId = useId();

  const submit = async (event: Event) => {
    event.preventDefault();
    setErrors({});
    setStatus("");
    try {
      const id = await mail.addJob("email", message, { delay });
      setStatus(`Added ${id}`);
    } catch (error) {
      setErrors(errorsOf(error));
    }
  };
  const field = (name: Field) => ({
    name,
    value: message[name],
    error: errors[name],
    onInput: (value: string) => setMessage({ ...message, [name]: value }),
  });

  return (
    <form class="compose" onSubmit={submit} noValidate aria-label="Write an e-mail">
      <TextField label="To" mode="email" {...field("to")} />
      <TextField label="Subject" {...field("subject")} />
      <TextField label="Body" lines={2} {...field("body")} />
      <div class="compose-foot">
        <label class="field-inline" for={delayId}>
          Deliver
          <select id={delayId} value={delay} onChange={({ currentTarget }) => setDelay(Number(currentTarget.value))}>
            {DELAYS.map(({ label, delay: value }) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <button type="submit" class="button button-primary">
          Add the job
        </button>
      </div>
      <p class="compose-status" role="status">
        {errors.form ? <span class="field-error">{errors.form}</span> : status}
      </p>
      <p class="quiet">
        Mail to <Try to="busy@example.com" onTry={(to) => setMessage({ ...message, to })} /> fails twice and then gets
        through; mail to <Try to="bounce@example.com" onTry={(to) => setMessage({ ...message, to })} /> fails for good.
      </p>
    </form>
  );
}

function Try({ to, onTry }: { readonly to: string; readonly onTry: (to: string) => void }) {
  return (
    <button type="button" class="link" onClick={() => onTry(to)}>
      {to}
    </button>
  );
}

interface TextFieldProps {
  readonly label: string;
  readonly name: string;
  readonly value: string;
  readonly error: string | undefined;
  readonly onInput: (value: string) => void;
  readonly mode?: "text" | "email";
  readonly lines?: number;
}

function TextField({ label, name, value, error, onInput, mode = "text", lines }: TextFieldProps) {
  const id = useId();
  const common = {
    id,
    name,
    value,
    autoComplete: "off",
    "aria-invalid": error !== undefined,
    "aria-describedby": error === undefined ? undefined : `${id}-error`,
    onInput: ({ currentTarget }: { currentTarget: HTMLInputElement | HTMLTextAreaElement }) =>
      onInput(currentTarget.value),
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {lines ? <textarea rows={lines} {...common} /> : <input type="text" inputMode={mode} {...common} />}
      {error !== undefined && (
        <p class="field-error" id={`${id}-error`}>
          {error}
        </p>
      )}
    </div>
  );
}

/** Which field was wrong, or what else stood in the way. */
function errorsOf(error: unknown): Errors {
  if (!(error instanceof QuaysideError)) return { form: messageOf(error) };
  if (error.code === "network") return { form: "No network: this form adds straight to the edge, so it needs one." };
  if (error.code !== "invalid_payload") return { form: error.message };
  const issues = (error.details["issues"] ?? []) as readonly PayloadIssue[];
  return Object.fromEntries(issues.map(({ path, message }) => [path, message]));
}

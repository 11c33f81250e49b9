/** The steps of an attempt, and of an alarm, at which an object may die. */
export type Step =
  | "after the add was committed"
  | "before the claim was committed"
  | "after the claim was committed"
  | "after the claim was on disk"
  | "in the handler"
  | "before the settlement was committed"
  | "after the settlement was committed"
  | "as the alarm begins"
  | "as the alarm ends";

/** At which step to die, and how often. */
export interface Plan {
  readonly step: Step;
  readonly times: number;
}

/** Names a job of any queue. */
interface Named {
  readonly queue: string;
  readonly id: string;
}

export const memberName = ({ queue, id }: Named): string => JSON.stringify([queue, id]);

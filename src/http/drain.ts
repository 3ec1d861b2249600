/**
 * Whether this replica is about to stop. From then on `/readyz` is 503, so proxies send their requests elsewhere, and
 * each answer closes its connection, so clients that keep theirs come back to another replica. Nothing is refused yet.
 */
export type Drain = {
  readonly begun: boolean;
  begin(): void;
};

export function createDrain(): Drain {
  let begun = false;
  return {
    get begun() {
      return begun;
    },
    begin() {
      begun = true;
    },
  };
}

/** `npm run test:long` runs in full what is repeated for confidence. */
export const isLong = process.env.FACTORY_SECRETS_TEST_LONG === "1";

/** How often something is repeated: a few times in `npm test`, in full in `npm run test:long`. */
export const roundsOf = (few: number, inFull: number): number => (isLong ? inFull : few);

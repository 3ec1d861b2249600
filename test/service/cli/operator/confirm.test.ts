import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { whileAnswering } from "../../../support/cli/stand-in-service.js";
import { type OperatorDesk, openOperatorDesk } from "./operator-desk.js";

let desk: OperatorDesk;
beforeAll(() => {
  desk = openOperatorDesk({ FACTORY_SECRETS_FACTORY: "acme", FACTORY_SECRETS_TOKEN: "fso_not-a-token" });
});
afterAll(() => desk.close());

/** Every command that asks first, with what it says would happen. */
const commands: readonly (readonly [command: string, would: string])[] = [
  ["secrets rm x", "The secret x would be deleted."],
  ["secrets rm x --purge", "Every value of x would be destroyed for good."],
  ["secrets purge x", "The deleted values of x would be destroyed for good."],
  ["secrets destroy x 5", "The value of version 5 of x would be destroyed for good."],
  ["registries rm ghcr.io", "The entry ghcr.io would be removed, and jobs would get no more tokens for it."],
  [
    "trust-rules rm 018f3c1e-0000-7000-8000-000000000000",
    "The rule 018f3c1e-0000-7000-8000-000000000000 would be withdrawn.",
  ],
  ["devices authorities rm a1", "Every device of the authority a1 would be refused."],
  ["api-tokens rm t1", "The API token t1 would stop working."],
  ["oauth-clients rm c1", "The OAuth client c1 would stop working."],
  ["oauth-clients rm-secret c1 s1", "The secret s1 of the client c1 would stop working."],
  ["factories rm acme", "The factory acme and every secret in it would be destroyed for good."],
];

describe.each(commands)("%s", (command, would) => {
  test("says what would happen, and does nothing without a yes", async () => {
    let requests = 0;
    await whileAnswering(
      (_, response) => {
        requests += 1;
        response.end();
      },
      async (url) => {
        const args = [...command.split(" "), "--url", url];
        expect(await desk.run(args)).toEqual({
          exitCode: 2,
          out: "",
          err: `${would} Not confirmed: no terminal. Pass \`--yes\` to skip the question.\n`,
        });
        expect(await desk.runWith(["n"], args)).toEqual({
          exitCode: 1,
          out: "",
          err: "Not confirmed. Nothing was changed.\n",
          asked: [`${would} Continue? [y/N] `],
        });
      },
    );
    expect(requests).toBe(0);
  });
});

const aboutFactories = commands.map(([command]) => command).filter((command) => command !== "factories rm acme");
test.each([
  ...aboutFactories,
  "secrets set x",
  "secrets verify x",
  "registries add --from-file -",
  "trust-rules explain",
])("%s asks and reads nothing before the factory is known", async (command) => {
  const args = [...command.split(" "), "--url", "http://127.0.0.1:9"];
  const elsewhere = openOperatorDesk({ FACTORY_SECRETS_TOKEN: "fso_not-a-token" });
  expect(await elsewhere.runWith([], args)).toEqual({
    exitCode: 2,
    out: "",
    err: "No factory is named. Set FACTORY_SECRETS_FACTORY to its name, or pass --factory NAME.\n",
    asked: [],
  });
  elsewhere.close();
});

import { afterAll, beforeAll, beforeEach } from "vitest";
import { secretValue } from "../../../support/leak-watch.js";
import { startTestService, type TestService } from "../../../support/test-service.js";
import { type OperatorDesk, openOperatorDesk } from "./operator-desk.js";

/** A service of the test file's own, and an operator's desk with a new factory for each test. In it is a secret `creds`. */
export type ServedDesk = { service: TestService; desk: OperatorDesk };

/** Opens it before the tests of the file, and closes it after. What it gives is filled by then. */
export function serveDesk(): ServedDesk {
  let opened: ServedDesk | undefined;
  const served = (): ServedDesk => {
    if (!opened) throw new Error("the desk is there once the tests run");
    return opened;
  };
  beforeAll(async () => {
    const service = await startTestService();
    const environment = { FACTORY_SECRETS_URL: service.url, FACTORY_SECRETS_TOKEN: service.operatorToken };
    opened = { service, desk: openOperatorDesk(environment) };
  });
  afterAll(async () => {
    opened?.desk.close();
    await opened?.service.close();
  });
  beforeEach(async () => {
    const { service, desk } = served();
    desk.environment.FACTORY_SECRETS_FACTORY = (await service.createFactory()).name;
    await desk.run(["secrets", "set", "creds"], `ci:${secretValue()}`);
  });
  return {
    get service() {
      return served().service;
    },
    get desk() {
      return served().desk;
    },
  };
}

/** A config of one entry that names `creds`. */
export const documentOf = (host: string): string =>
  `# ours\ncontainer_registries:\n- type: generic\n  url: ${host}\n  generic_secret_name: creds\n`;

import { expect, it } from "vitest";
import { openDatabase } from "../../../src/db/database.js";
import { createTestDatabase } from "../../support/test-database.js";
import { startSealedService } from "../audit/log/sealed-service.js";
import { backUp, restoreInto } from "./backed-up.js";

it("a backup that is made without the row of the sealer has the events that wait for it", async () => {
  const sealed = await startSealedService();
  await sealed.exported();
  await sealed.tamper("DELETE FROM audit_sealer");
  const { name } = await sealed.service.createFactory();
  const second = await createTestDatabase("empty");
  await restoreInto(second.url, await backUp(sealed.service));
  const copy = openDatabase({ url: second.url, connections: 1, onError: () => undefined });
  const { rows } = await copy.pool.query<{ event: string }>(
    "SELECT convert_from(event, 'UTF8') AS event FROM audit_events WHERE action = 'factory.created'",
  );
  expect(rows.map(({ event }) => event).join("\n")).toContain(`"name":"${name}"`);
  await copy.close();
  await second.drop();
  await sealed.service.close();
});

import { vi } from "vitest";
import type { TestService } from "./test-service.js";

/** The metrics as they are from now on, though a replica remembers their text for a second: processor time is in it. */
export async function metricsNow({ as }: Pick<TestService, "as">): Promise<string> {
  const read = async () => (await as(undefined).get("/metrics").expect(200)).text;
  const remembered = await read();
  return vi.waitUntil(
    async () => {
      const text = await read();
      return text !== remembered && text;
    },
    { timeout: 30_000, interval: 50 },
  );
}

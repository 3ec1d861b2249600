import { once } from "node:events";
import { connect } from "node:tls";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeServerFiles } from "../../support/devices/device-service.js";
import { startTestService, type TestService } from "../../support/test-service.js";

let files: Awaited<ReturnType<typeof makeServerFiles>>;
let service: TestService;
beforeAll(async () => {
  files = await makeServerFiles();
  service = await startTestService(files.environment);
});
afterAll(async () => {
  await service.close();
  await files.remove();
});

/** What a client gets that asks for a new handshake on an open connection: `done`, or the code of its error. */
async function renegotiate(url: string): Promise<string> {
  const socket = connect({
    host: "127.0.0.1",
    port: Number(new URL(url).port),
    ca: files.caPem,
    maxVersion: "TLSv1.2",
  });
  await once(socket, "secureConnect");
  const outcome = await new Promise<string>((resolve) => {
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.renegotiate({}, (error) => resolve(error ? error.message : "done"));
  });
  socket.destroy();
  return outcome;
}

it("is refused by both listeners: what a connection began with holds to its end", async () => {
  for (const url of [service.url, service.deviceUrl]) expect(await renegotiate(url)).toBe("ERR_SSL_NO_RENEGOTIATION");
});

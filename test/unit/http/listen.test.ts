import { createServer } from "node:http";
import { expect, it } from "vitest";
import { listen } from "../../../src/service/servers.js";
import { SettingsError } from "../../../src/settings/settings.js";

const at = { host: "127.0.0.1", setting: "PORT" };

it("a server that listens outlives its errors, such as a connection for which no file descriptor is free", async () => {
  const errors: Error[] = [];
  const server = createServer((_request, response) => void response.end("here"));
  const port = await listen(server, { ...at, port: 0 }, (error) => errors.push(error));
  const outOfFiles = Object.assign(new Error("accept EMFILE"), { code: "EMFILE" });
  for (let count = 1; count <= 3; count += 1) {
    // An error event without a listener would be thrown here.
    server.emit("error", outOfFiles);
    expect(errors).toHaveLength(count);
  }
  expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe("here");
  server.closeAllConnections();
  server.close();
});

it("a port that is taken is a mistake in the settings, told by name", async () => {
  const first = createServer();
  const port = await listen(first, { ...at, port: 0 }, () => undefined);
  const second = listen(createServer(), { ...at, port }, () => undefined);
  await expect(second).rejects.toThrow(SettingsError);
  await expect(second).rejects.toThrow(`127.0.0.1:${port} is taken by another program. Choose another PORT.`);
  first.close();
});

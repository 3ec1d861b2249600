import { createServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import { type SyslogPlace, sendSyslog, syslogFrame } from "../../../../src/audit/shipping/syslog.js";
import { parseShipTo } from "../../../../src/audit/shipping/targets.js";
import { listen, startTcpServer, type TestServer, testAuthority } from "../../outbound/tls-server.js";

const now = new Date("2026-11-24T08:00:00.123Z");
const eventLine = (outcome: string, extra = "") =>
  `{"type":"event","position":1,"event":{"at":"2026-11-23T22:14:15.003Z","outcome":"${outcome}","note":"é${extra}"}}`;
const checkpointLine = '{"type":"checkpoint","statement":"x"}';

const opened: TestServer[] = [];
afterEach(async () => {
  for (const server of opened.splice(0)) await server.close();
});

/** Takes messages by their lengths, as a receiver does. */
function messagesIn(bytes: Buffer): string[] {
  const messages: string[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    const space = rest.indexOf(0x20);
    const end = space + 1 + Number(rest.subarray(0, space).toString("latin1"));
    messages.push(rest.subarray(space + 1, end).toString("utf8"));
    rest = rest.subarray(end);
  }
  return messages;
}

const placeOf = (server: TestServer, tls = false): SyslogPlace => ({ host: "localhost", port: server.port, tls });

describe("a message of syslog", () => {
  it("has the facility of the log audit, the event's time, and the line whole", () => {
    const line = eventLine("allowed");
    expect(messagesIn(syslogFrame(line, now))).toEqual([
      `<109>1 2026-11-23T22:14:15.003Z - factory-secrets - event - ${line}`,
    ]);
  });

  it.each(["refused", "failed"])("is a warning when the outcome is %s", (outcome) => {
    expect(messagesIn(syslogFrame(eventLine(outcome), now))[0]).toMatch(/^<108>1 /);
  });

  it("is sent with the time of now for a checkpoint", () => {
    expect(messagesIn(syslogFrame(checkpointLine, now))).toEqual([
      `<109>1 2026-11-24T08:00:00.123Z - factory-secrets - checkpoint - ${checkpointLine}`,
    ]);
  });
});

describe("a delivery by syslog", () => {
  const lines = Array.from({ length: 200 }, (_, index) => eventLine("allowed", "x".repeat(index)));
  const text = `${lines.join("\n")}\n`;

  it("is through when the receiver has read to the end", async () => {
    const received: Buffer[] = [];
    const server = await startTcpServer((socket) => void socket.on("data", (chunk: Buffer) => received.push(chunk)));
    opened.push(server);
    await sendSyslog(placeOf(server), text, []);
    expect(messagesIn(Buffer.concat(received)).map((message) => message.slice(message.indexOf("{")))).toEqual(lines);
  });

  it("goes over TLS to a receiver whose certificate an authority of the settings has signed", async () => {
    const authority = await testAuthority();
    const received: Buffer[] = [];
    const server = createTlsServer(await authority.issue(["localhost"]), (socket) => {
      socket.on("data", (chunk) => received.push(chunk));
    });
    const receiver = await listen(server);
    opened.push(receiver);
    await sendSyslog(placeOf(receiver, true), text, [authority.caPem]);
    expect(messagesIn(Buffer.concat(received))).toHaveLength(lines.length);
    await expect(sendSyslog(placeOf(receiver, true), text, [])).rejects.toThrow("certificate");
    await expect(
      sendSyslog({ ...placeOf(receiver, true), host: "127.0.0.1" }, text, [authority.caPem]),
    ).rejects.toThrow();
  });

  it("has failed when the receiver hangs up in the middle", async () => {
    const server = await startTcpServer((socket) => socket.once("data", () => socket.resetAndDestroy()));
    opened.push(server);
    await expect(sendSyslog(placeOf(server), text, [])).rejects.toThrow();
  });

  it("has failed when the receiver takes nothing", async () => {
    const server = await startTcpServer((socket) => void socket.destroy());
    opened.push(server);
    await expect(sendSyslog(placeOf(server), text, [])).rejects.toThrow();
  });

  it("has failed when nobody listens", async () => {
    const gone = await listen(createServer());
    await gone.close();
    await expect(sendSyslog(placeOf(gone), text, [])).rejects.toThrow("ECONNREFUSED");
  });
});

describe("a place of syslog", () => {
  it.each([
    ["syslog+tls://logs.example.com", { host: "logs.example.com", port: 6514, tls: true }],
    ["syslog+tcp://logs.example.com", { host: "logs.example.com", port: 514, tls: false }],
    ["syslog+tcp://[2001:db8::1]:1514", { host: "2001:db8::1", port: 1514, tls: false }],
  ])("%s is read", (text, place) => {
    expect(parseShipTo([text]).targets).toMatchObject([{ kind: "syslog", place }]);
  });
});

import { connect, type Socket } from "node:net";
import { connect as connectTls, rootCertificates } from "node:tls";
import { z } from "zod";
import { databaseNow } from "../../core/database-clock.js";

/** A syslog receiver over TCP, in plain or under TLS. */
export type SyslogPlace = { host: string; port: number; tls: boolean };

const deliveryMs = 10_000;
/** Long enough to notice a receiver, or a load balancer without one, that closes the connection at once. */
const lingerMs = 100;
/** Facility 13, the log audit (RFC 5424, 6.2.1). */
const facility = 13;
const severities = { notice: 5, warning: 4 } as const;

const Line = z.object({
  type: z.string(),
  // An event that was altered in the database may lack these, and must not hold up the next ones.
  event: z
    .object({ at: z.iso.datetime({ offset: true }), outcome: z.string() })
    .optional()
    .catch({ at: "-", outcome: "damaged" }),
});

/**
 * Sends lines of the audit to a syslog receiver, a message each, on one connection. Syslog has no acknowledgement: the
 * lines count as taken when the receiver, after the last byte, closes its side in good order, which it does once it has
 * read to the end. A connection that breaks, or is not closed within ten seconds, counts as a failure.
 * @param text lines of an export, each with its line feed
 * @param caCertificates further authorities for TLS, PEM
 * @throws Error with what went wrong with the connection
 */
export function sendSyslog(place: SyslogPlace, text: string, caCertificates: readonly string[]): Promise<void> {
  const lines = text.split("\n").filter((line) => line !== "");
  const frames = Buffer.concat(lines.map((line) => syslogFrame(line, databaseNow())));
  return new Promise((resolve, reject) => {
    const socket = open(place, caCertificates);
    const timer = setTimeout(() => {
      socket.destroy(new Error(`it did not take the events within ${deliveryMs / 1_000} seconds`));
    }, deliveryMs);
    let failure: Error | undefined;
    let complete = false;
    socket.on("error", (error) => {
      failure = error;
    });
    socket.on("end", () => {
      if (!complete) socket.destroy(new Error("it closed the connection early"));
    });
    socket.on("close", () => {
      clearTimeout(timer);
      if (failure === undefined) resolve();
      else reject(failure);
    });
    // What a receiver says is nothing we wait for, but it must be read for the end behind it to be seen.
    socket.resume();
    const finish = (): void => {
      complete = true;
      socket.end();
    };
    socket.once(place.tls ? "secureConnect" : "connect", () => {
      socket.write(frames, (error) => {
        if (!error) setTimeout(finish, lingerMs);
      });
    });
  });
}

function open({ host, port, tls }: SyslogPlace, caCertificates: readonly string[]): Socket {
  if (!tls) return connect({ host, port });
  const ca = [...rootCertificates, ...caCertificates];
  return connectTls({ host, port, servername: host, ca, minVersion: "TLSv1.2" });
}

/**
 * A line of an export as a syslog message (RFC 5424) with its length in front (RFC 6587, 3.4.1; RFC 5425, 4.3). The
 * message is the line itself; its time is the event's, its severity a warning for what was refused or failed.
 */
export function syslogFrame(line: string, now: Date): Buffer {
  const { type, event } = Line.parse(JSON.parse(line));
  const severity = event === undefined || event.outcome === "allowed" ? severities.notice : severities.warning;
  // The host that relays a message is the receiver's to know: the sender names no host (RFC 5424, 6.2.4).
  const header = [
    `<${facility * 8 + severity}>1`,
    event?.at ?? now.toISOString(),
    "-",
    "factory-secrets",
    "-",
    type,
    "-",
  ];
  const message = Buffer.from(`${header.join(" ")} ${line}`, "utf8");
  return Buffer.concat([Buffer.from(`${message.length} `, "latin1"), message]);
}

import { once } from "node:events";
import { createServer } from "node:net";
import { type AwsFactory, host } from "../../support/aws/aws-factory.js";

export type Job = { id: string; token: string };

type Variable = { name: string; value: string };

/** What `aws-config` says to put into the environment of a job's programs. */
export async function environmentOf(factory: AwsFactory, job: Job): Promise<Record<string, string>> {
  const { body } = await factory.ask(job.token, { registry: host, format: "aws-config" });
  const variables: Variable[] = body.environment;
  return Object.fromEntries(variables.map(({ name, value }) => [name, value]));
}

export async function endJob({ service, factory }: AwsFactory, { id }: Job): Promise<void> {
  const path = `/v1/factories/${factory.name}/jobs/${id}`;
  await service.as(service.operatorToken).delete(path).expect(204);
}

/** Lets a job's time pass. */
export const expireJob = (factory: AwsFactory, { id }: Job): Promise<void> =>
  change(factory, "UPDATE credentials SET expires_at = now() WHERE id = $1", [id]);

/** Has a job be for another registry than when it got its keys, as a trust rule that was changed. */
export function narrowJob(factory: AwsFactory, { id }: Job, registry: string): Promise<void> {
  const grants = JSON.stringify([{ registry, actions: ["pull"] }]);
  return change(factory, "UPDATE credentials SET grants = $2 WHERE id = $1", [id, grants]);
}

async function change({ service, factory }: AwsFactory, sql: string, values: unknown[]): Promise<void> {
  const { pool } = service.database;
  await pool.query(sql, values);
  await pool.query("UPDATE factories SET generation = generation + 1 WHERE id = $1", [factory.id]);
}

/** A port of this machine where nobody listens. */
export async function deadPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

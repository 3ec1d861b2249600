import { readFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";
import { CronJob } from "./published-shapes.js";

const folder = new URL("../../../examples/kubernetes/", import.meta.url);

export const readExample = (name: string): string => readFileSync(new URL(name, folder), "utf8");

/** The documents of a manifest, as plain data. @throws when it is not YAML */
export function readManifests(name: string): unknown[] {
  return parseAllDocuments(readExample(name)).map((document) => {
    const [problem] = [...document.errors, ...document.warnings];
    if (problem) throw problem;
    return document.toJS();
  });
}

/** The CronJob that refreshes a pull secret, and its pod. */
export function readCronJob() {
  const cronJob = CronJob.parse(readManifests("pull-secret-cronjob.yaml").at(-1));
  const pod = cronJob.spec.jobTemplate.spec.template.spec;
  const [container] = pod.containers;
  if (!container) throw new Error("the pod has no container");
  return { spec: cronJob.spec, pod, container };
}

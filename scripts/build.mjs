// `npm run build`. An old Node could not even read what is behind this.
import { isNodeNewEnough } from "../bin/require-node.mjs";

if (isNodeNewEnough()) void import("./build-steps.mjs").then(({ buildOrExit }) => buildOrExit());

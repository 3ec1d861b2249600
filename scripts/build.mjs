// `npm run build`. An old Node could not even read what is behind this.
import { isNodeNewEnough } from "../bin/require-node.mjs";

if (isNodeNewEnough()) import("./build-steps.mjs").then(({ buildOrExit }) => buildOrExit());

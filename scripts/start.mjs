// `npm start`. An old Node could not even read what is behind this.
import { isNodeNewEnough } from "../bin/require-node.mjs";

if (isNodeNewEnough()) void import("./start-service.mjs");

#!/usr/bin/env node
// An old Node could not even read what is behind this.
import { isNodeNewEnough } from "./require-node.mjs";

if (isNodeNewEnough()) void import("./start-docker-credential-factory-secrets.mjs");

// What everything is compared with: Express 5 as it is, answering a JSON of a given size. Prints its port.
import express from "express";

const bytes = Number(process.argv[2]);
const answer = { token: "x".repeat(bytes - '{"token":""}'.length) };

const app = express();
app.get("/", (_req, res) => {
  res.json(answer);
});
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));

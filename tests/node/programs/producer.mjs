// Produces durably, acks durably, and says on its standard output what was confirmed, until it is killed. Started by store.test.mjs.
//
//   node producer.mjs DIRECTORY FIRST

import { writeSync } from "node:fs";
import { open } from "../../../wasm/dist/node.js";

const [path, first] = process.argv.slice(2);
/** Into a pipe, which keeps what a killed process wrote. */
const say = (line) => writeSync(1, `${line}\n`);

const broker = await open({ path });
const queue = await broker.queue("jobs", { maxAttempts: null });

async function produce(lane) {
  for (let n = Number(first); ; n++) {
    const body = `${lane}.${n}`;
    await queue.produce(body);
    say(`produced ${body}`);
  }
}

async function consume() {
  for (;;) {
    const delivery = await queue.consume({ timeout: null });
    say(`handed ${delivery.text()}`);
    await delivery.ack({ durable: true });
    say(`acked ${delivery.text()}`);
  }
}

await Promise.all([produce("a"), produce("b"), produce("c"), consume()]);

// A scenario's world: the broker, its testing hooks, what the steps named. The same file runs in Node, in a page and in a worker.

import { parse } from "./scenario.mjs";
import { body, brief, compare, headers, shownMessage, shownStats } from "./values.mjs";

const DECLARING = new Set(["queue", "alter", "delete_queue", "exchange", "delete_exchange", "bind", "unbind"]);

/**
 * Runs a scenario's text; resolves with its line of the report. `api` has `openTesting`, `outgoing` and `FerryError`, and where there are files `directory`, which gives an empty one: there a scenario
 * in memory is run on a store, too, and must give the same.
 */
export async function runScenario(api, home, file, text) {
  let name = file.replace(/^.*\//, "").replace(/\.json$/, "");
  try {
    const scenario = parse(text);
    name = scenario.name;
    await run(api, scenario);
    if (api.directory !== undefined && (scenario.open?.storage ?? "memory") === "memory") {
      await run(api, { ...scenario, open: { ...scenario.open, storage: "store" } }).catch((error) => {
        throw new Error(`${error?.message ?? error}, only on a store`);
      });
    }
    return { home, file, name, ok: true, detail: "" };
  } catch (error) {
    return { home, file, name, ok: false, detail: String(error?.message ?? error) };
  }
}

async function run(api, scenario) {
  const { storage = "memory", ...rest } = scenario.open ?? {};
  const { broker, testing } = await api.openTesting({ ...storageOf(api, storage), ...ownNames(rest) });
  const world = new World(api, broker, testing, storage);
  for (const [at, step] of scenario.steps.entries()) {
    try {
      await world.step(step);
    } catch (error) {
      throw new Error(`step ${at + 1} (${step.do}): ${error.message}`);
    }
  }
  await broker.close();
}

/** What a scenario's storage is here. A page has no files: there a store is the disk in memory, which the runner tells after each step to complete. */
function storageOf(api, storage) {
  if (storage !== "store") return { storage };
  return api.directory === undefined ? { storage: "manual" } : { storage, path: api.directory() };
}

/** A call: its result or its error once it has settled. */
class Call {
  constructor(promise, show) {
    this.state = "pending";
    this.show = show;
    this.settled = promise.then(
      (value) => Object.assign(this, { state: "done", value }),
      (error) => Object.assign(this, { state: "failed", error }),
    );
  }
}

/** After one turn of the event loop everything has settled that can: time and disk move only when told. */
function turn() {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") {
      setImmediate(resolve);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** The API's names of options. A name that is the API's already is none of the vectors'. */
function ownNames(options) {
  if (typeof options !== "object" || options === null || Array.isArray(options)) return options;
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [
      /[A-Z]/.test(name)
        ? `${name} (not a vector's name)`
        : name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase()),
      name === "headers" && typeof value === "object" && value !== null ? headers(value) : value,
    ]),
  );
}

/** Turns of the event loop without an event, after which none is on its way. */
const QUIET_TURNS = 4;

/** Most messages of one batch. */
const BATCH_MAX = 100_000;

const nothing = () => null;
const asIs = (value) => value ?? null;

class World {
  constructor(api, broker, testing, storage) {
    this.api = api;
    this.broker = broker;
    this.testing = testing;
    this.storage = storage;
    this.queues = new Map();
    this.exchanges = new Map();
    this.calls = new Map();
    this.subscriptions = new Map();
  }

  async step(step) {
    if (step.at !== undefined) {
      this.testing.advanceTo(step.at);
      // What fell due is seen once it is safe.
      if (this.storage === "store") await this.#rest();
    }
    const call =
      step.do === "result" ? this.#called(step.of) : new Call(this.#perform(step), SHOWN[step.do] ?? nothing);
    await this.#rest();
    // A store is open, and closed, when its files are.
    if (step.do === "close" || step.do === "reopen") await call.settled;
    // An event takes turns of the loop on its way: this step counts them itself.
    while (step.do === "bus_events" && call.state === "pending") await this.#rest();
    if (call.state === "pending" && this.storage === "manual" && DECLARING.has(step.do)) {
      this.testing.sync();
      await turn();
    }
    judge(call, step);
    if (step.as !== undefined) this.calls.set(step.as, call);
  }

  /** Until everything has settled that can. A store completes by itself, which takes what time it takes. */
  async #rest() {
    await turn();
    if (this.storage !== "store") return;
    if (this.api.directory === undefined) this.testing.sync();
    while (await this.testing.idle()) await turn();
    await turn();
  }

  #called(name) {
    const call = this.calls.get(name);
    if (call === undefined) throw new Error(`nothing is called ${JSON.stringify(name)}`);
    return call;
  }

  async #perform(step) {
    const { broker, testing } = this;
    switch (step.do) {
      case "queue": {
        const queue = await broker.queue(step.queue, ownNames(step.options));
        this.queues.set(step.queue, queue);
        return;
      }
      case "exchange": {
        const exchange = await broker.exchange(step.exchange, { ...ownNames(step.options), kind: step.kind });
        this.exchanges.set(step.exchange, exchange);
        return;
      }
      case "bind":
      case "unbind": {
        if ((step.queue === undefined) === (step.to_exchange === undefined))
          throw new Error("name queue or to_exchange");
        const exchange = await this.#exchange(step.exchange);
        const target = await (step.queue === undefined ? this.#exchange(step.to_exchange) : this.#queue(step.queue));
        return exchange[step.do](target, step.pattern, ownNames({ headers: step.headers, match: step.match }));
      }
      case "publish":
        return (await this.#exchange(step.exchange)).publish(body(step.body), publishOptions(step));
      case "delete_exchange":
        return (await this.#exchange(step.exchange)).delete();
      case "transaction":
        return this.#transaction(step.ops);
      case "queues":
        return broker.queues();
      case "sync":
        return testing.sync();
      case "sync_fails":
        return testing.syncFails();
      case "kill":
        return testing.kill();
      case "power_cut":
        return testing.powerCut();
      case "reopen":
        return this.#reopen();
      case "close":
        return broker.close();
      case "reply":
        return this.#delivery(step.delivery).reply(body(step.body), ownNames(step.options));
      case "subscribe_bus":
        return this.#subscribe(step);
      case "unsubscribe_bus":
        return this.#subscription(step.subscription).subscription.stop();
      case "publish_bus":
        return (await broker.bus()).publish(step.topic, body(step.body), ownNames(step.options));
      case "bus_events":
        return this.#events(this.#subscription(step.subscription).events);
      case "cancel":
        return this.#consumer(step.consumer).close();
      case "keep":
        return this.#delivery(step.delivery).keep(step.kept ?? true);
      case "handed":
        return this.#handed(this.#consumer(step.consumer));
      default:
        return SETTLING.has(step.do) ? this.#settle(step) : this.#onQueue(await this.#queue(step.queue), step);
    }
  }

  #onQueue(queue, step) {
    const options = ownNames(step.options);
    switch (step.do) {
      case "alter":
        return queue.alter(options);
      case "delete_queue":
        return queue.delete();
      case "purge":
        return queue.purge();
      case "redrive":
        return queue.redrive(step.max);
      case "produce":
        return queue.produce(body(step.body), options);
      case "request":
        return queue.request(body(step.body), options);
      case "produce_many": {
        const items = step.items.map((item) => this.api.outgoing(body(item.body), ownNames(item.options ?? {})));
        return queue.produceMany(items, options);
      }
      case "consume":
        return queue.consume(options);
      case "consume_many":
        return queue.consumeMany(step.max, options);
      case "consumer":
        return queue.consumer(options);
      case "peek":
        return queue.peek(step.max);
      default:
        return queue.stats();
    }
  }

  async #settle(step) {
    if (step.do === "ack_many") {
      const deliveries = step.deliveries.map((name) => this.#delivery(name));
      const queue = deliveries[0]?.queue ?? this.queues.keys().next().value;
      return (await this.#queue(queue)).ackMany(deliveries);
    }
    const { delay, reason, durable, by } = step;
    const how = {
      ack: [{ durable }],
      nack: [{ delay, reason }],
      reject: [{ reason }],
      release: [],
      extend: [by],
    }[step.do].map(given);
    if (step.delivery !== undefined) return this.#delivery(step.delivery)[step.do](...how);
    if (step.token_of !== undefined) {
      const delivery = this.#delivery(step.token_of);
      return (await this.#queue(delivery.queue))[step.do](delivery.token, ...how);
    }
    if (step.queue === undefined || step.token === undefined) {
      throw new Error("name a delivery, or token_of, or queue and token");
    }
    return (await this.#queue(step.queue))[step.do](body(step.token), ...how);
  }

  async #transaction(ops) {
    const targets = await Promise.all(
      ops.map((op) => {
        if (op.do === "produce") return this.#queue(op.queue);
        return op.do === "publish" ? this.#exchange(op.exchange) : undefined;
      }),
    );
    return this.broker.transaction((tx) => {
      for (const [at, op] of ops.entries()) {
        if (op.do === "ack") {
          tx.ack(op.token_of === undefined ? this.#delivery(op.delivery) : this.#delivery(op.token_of).token);
        } else {
          tx.produce(targets[at], body(op.body), op.do === "publish" ? publishOptions(op) : ownNames(op.options));
        }
      }
      return tx;
    });
  }

  async #reopen() {
    this.queues.clear();
    this.exchanges.clear();
    await this.testing.reopen();
    if (this.storage === "manual") this.testing.sync();
  }

  /** The queue of this name: the declared one, or one that exists. */
  #queue(name) {
    return this.queues.get(name) ?? this.broker.queue(name, { create: false });
  }

  /** The exchange of this name: the declared one, or one that exists. */
  #exchange(name) {
    return this.exchanges.get(name) ?? this.broker.exchange(name, { create: false });
  }

  async #subscribe(step) {
    const events = [];
    const bus = await this.broker.bus();
    const subscription = await bus.subscribe(step.pattern, (event) => void events.push(event), ownNames(step.options));
    this.subscriptions.set(step.as, { subscription, events });
  }

  #subscription(name) {
    const own = this.subscriptions.get(name);
    if (own === undefined) throw new Error(`${JSON.stringify(name)} is not a subscription`);
    return own;
  }

  /** The events since the last time, once none has come for some turns. */
  async #events(events) {
    for (let quiet = 0, seen = 0; quiet < QUIET_TURNS; quiet += 1) {
      await this.#rest();
      if (events.length !== seen) quiet = 0;
      seen = events.length;
    }
    return events.splice(0);
  }

  #consumer(name) {
    const own = this.calls.get(name)?.value;
    if (typeof own?.consumeMany !== "function") throw new Error(`${JSON.stringify(name)} is not a consumer`);
    return own;
  }

  /** Everything that is reserved is taken, until nothing comes. */
  async #handed(consumer) {
    const handed = [];
    for (;;) {
      const some = await consumer.consumeMany(BATCH_MAX);
      if (some.length === 0) return handed;
      handed.push(...some);
    }
  }

  /** The delivery of this name; `name.2` is the third of `name`'s. */
  #delivery(name) {
    const own = this.calls.get(name)?.value;
    if (own !== undefined && !Array.isArray(own)) return own;
    const [, batch, at] = /^(.*)\.(\d+)$/.exec(name) ?? [];
    const delivery = this.calls.get(batch)?.value?.[at];
    if (delivery === undefined) throw new Error(`${JSON.stringify(name)} is not a delivery`);
    return delivery;
  }
}

const SETTLING = new Set(["ack", "nack", "reject", "release", "extend", "ack_many"]);

/** An object's fields that were given; null is none. */
function given(fields) {
  if (typeof fields !== "object" || fields === null) return fields;
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
}

function publishOptions(step) {
  return { ...ownNames(step.options ?? {}), key: step.key ?? "" };
}

/** What the vectors see of each verb's result. */
const SHOWN = {
  produce: asIs,
  produce_many: asIs,
  consume: shownMessage,
  request: shownMessage,
  reply: asIs,
  publish_bus: asIs,
  bus_events: (events) => events.map(shownMessage),
  consume_many: (deliveries) => deliveries.map(shownMessage),
  handed: (deliveries) => deliveries.map(shownMessage),
  peek: (messages) => messages.map(shownMessage),
  publish: asIs,
  delete_queue: asIs,
  purge: asIs,
  redrive: asIs,
  stats: shownStats,
  queues: (queues) => queues.map((stats) => stats.name),
  transaction: (tx) => tx.results.map(asIs),
};

function judge(call, step) {
  const isPending = step.expect === "pending";
  if (call.state === "pending") {
    if (isPending) return;
    throw new Error(`expected ${expectation(step)}, it is pending`);
  }
  if (call.state === "failed") {
    const { error } = call;
    // A refusal is a result; anything else is a fault, of the runner or of the scenario.
    if (error?.name !== "FerryError") throw new Error(`${error?.message ?? error}`);
    if (error.code === step.error) return;
    throw new Error(`expected ${expectation(step)}, got error ${error.code}: ${error.message}`);
  }
  const shown = call.show(call.value);
  if (isPending || step.error !== undefined) throw new Error(`expected ${expectation(step)}, got ${brief(shown)}`);
  if ("expect" in step) compare(step.expect, shown);
}

function expectation(step) {
  if (step.error !== undefined) return `error ${step.error}`;
  if (step.expect === "pending") return "it to be pending";
  return "expect" in step ? JSON.stringify(step.expect) : "it to succeed";
}

// Scenarios, read strictly: what is not known is an error.

const TEXT = (value) => typeof value === "string";
const ANY = () => true;
const FLAG = (value) => typeof value === "boolean";
const LIST = (value) => Array.isArray(value);
const TEXTS = (value) => LIST(value) && value.every(TEXT);
const COUNT = (value) => Number.isSafeInteger(value) && value >= 0;

const SETTLED = { delivery: TEXT, token_of: TEXT, queue: TEXT, token: ANY };
const BOUND = { "exchange!": TEXT, queue: TEXT, to_exchange: TEXT, pattern: TEXT, headers: ANY, match: ANY };

// For each verb its fields; those with a mark must be there.
const VERBS = {
  queue: { "queue!": TEXT, options: ANY },
  alter: { "queue!": TEXT, options: ANY },
  delete_queue: { "queue!": TEXT },
  purge: { "queue!": TEXT },
  redrive: { "queue!": TEXT, max: ANY },
  produce: { "queue!": TEXT, "body!": ANY, options: ANY },
  produce_many: { "queue!": TEXT, "items!": LIST, options: ANY },
  consume: { "queue!": TEXT, options: ANY },
  consume_many: { "queue!": TEXT, "max!": ANY, options: ANY },
  consumer: { "queue!": TEXT, options: ANY },
  cancel: { "consumer!": TEXT },
  handed: { "consumer!": TEXT },
  peek: { "queue!": TEXT, max: ANY },
  ack: { ...SETTLED, durable: FLAG },
  nack: { ...SETTLED, delay: ANY, reason: TEXT },
  reject: { ...SETTLED, reason: TEXT },
  release: SETTLED,
  extend: { ...SETTLED, "by!": ANY },
  keep: { "delivery!": TEXT, kept: FLAG },
  ack_many: { "deliveries!": TEXTS },
  exchange: { "exchange!": TEXT, kind: ANY, options: ANY },
  delete_exchange: { "exchange!": TEXT },
  bind: BOUND,
  unbind: BOUND,
  publish: { "exchange!": TEXT, key: TEXT, "body!": ANY, options: ANY },
  request: { "queue!": TEXT, "body!": ANY, options: ANY },
  reply: { "delivery!": TEXT, "body!": ANY, options: ANY },
  subscribe_bus: { "pattern!": TEXT, options: ANY },
  unsubscribe_bus: { "subscription!": TEXT },
  publish_bus: { "topic!": TEXT, "body!": ANY, options: ANY },
  bus_events: { "subscription!": TEXT },
  transaction: { "ops!": LIST },
  stats: { "queue!": TEXT },
  queues: {},
  result: { "of!": TEXT },
  sync: {},
  sync_fails: {},
  kill: {},
  power_cut: {},
  reopen: {},
  close: {},
};

const STEP = { at: COUNT, do: TEXT, as: TEXT, expect: ANY, error: TEXT };
const SCENARIO = { "name!": TEXT, about: TEXT, covers: TEXTS, open: ANY, "steps!": LIST };
const OPEN = {
  storage: (value) => ["memory", "store", "manual"].includes(value),
  durability: TEXT,
  lease: ANY,
  memory_limit: ANY,
};
const ITEM = { "body!": ANY, options: ANY };
const IN_TRANSACTION = ["produce", "publish", "ack"];

/** A file's text as a scenario. Throws an Error that says what is wrong, and where. */
export function parse(text) {
  let scenario;
  try {
    scenario = JSON.parse(text);
  } catch (error) {
    throw new Error(`does not parse: ${error.message}`);
  }
  fields("the scenario", scenario, SCENARIO);
  if (scenario.open !== undefined) fields("open", scenario.open, OPEN);
  scenario.steps.forEach((step, at) => {
    checkStep(`step ${at + 1}`, step);
  });
  return scenario;
}

function checkStep(where, step) {
  if (typeof step !== "object" || step === null) throw new Error(`${where} is not an object`);
  const verb = Object.hasOwn(VERBS, step.do) ? VERBS[step.do] : undefined;
  if (verb === undefined)
    throw new Error(`${where}: do is ${JSON.stringify(step.do)}, which this runner does not know`);
  fields(`${where} (${step.do})`, step, { ...STEP, ...verb });
  if ("expect" in step && "error" in step) throw new Error(`${where} (${step.do}) has both expect and error`);
  for (const item of step.items ?? []) fields(`${where}: an item`, item, ITEM);
  for (const [at, op] of (step.ops ?? []).entries()) {
    checkStep(`${where}, operation ${at + 1}`, op);
    if (!IN_TRANSACTION.includes(op.do) || "at" in op || "expect" in op || "error" in op) {
      throw new Error(
        `${where}, operation ${at + 1}: a transaction holds produce, publish and ack, without time or result`,
      );
    }
  }
}

function fields(where, value, known) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`${where} is not an object`);
  for (const [name, each] of Object.entries(value)) {
    const check = Object.hasOwn(known, name) ? known[name] : known[`${name}!`];
    if (check === undefined) throw new Error(`${where} has an unknown field ${JSON.stringify(name)}`);
    if (!check(each)) throw new Error(`${where}: ${name} cannot be ${JSON.stringify(each)}`);
  }
  for (const name of Object.keys(known)) {
    if (name.endsWith("!") && !(name.slice(0, -1) in value)) throw new Error(`${where} has no ${name.slice(0, -1)}`);
  }
}

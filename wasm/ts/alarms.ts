// Alarms: callbacks that are called once when a condition becomes true, and again only after it was false.

import { onAbort } from "./aborts.js";
import type { Alarm, AlarmCondition, AlarmOptions, Alert, QueueStats } from "./api.js";
import { abortSignal, duration, flag, integer, known, optionalText } from "./checks.js";
import type { Core } from "./core.js";
import { invalid, shown } from "./errors.js";
import { readStats } from "./stats.js";
import type { Timer } from "./timers.js";

/** How often the broker is looked at. */
const LOOK_MS = 100;
/** Most alarms of one broker. */
const ALARMS_MAX = 1000;
const ALARM_OPTIONS: ReadonlySet<string> = new Set(["queue", "above", "olderThan", "deadLetters", "signal"]);

interface Armed {
  readonly queue: string | undefined;
  readonly above: number | undefined;
  readonly olderThan: number | undefined;
  readonly deadLetters: boolean;
  readonly call: (alert: Alert) => unknown;
  /** What is true since it was called. */
  on: Set<string>;
  /** Dead letters of each queue at the last look. */
  seen: Map<string, number>;
}

export class Alarms {
  readonly #core: Core;
  readonly #armed = new Set<Armed>();
  #timer: Timer | undefined;

  constructor(core: Core) {
    this.#core = core;
    core.onEnd(() => {
      this.#timer = undefined;
      this.#armed.clear();
    });
  }

  set(options: AlarmOptions, call: (alert: Alert) => unknown): Alarm {
    const passed = known<AlarmOptions>("alarm", options, ALARM_OPTIONS);
    if (typeof call !== "function") throw invalid(`the alarm's callback is ${shown(call)}; pass a function`);
    const { above, olderThan } = passed;
    const signal = abortSignal(passed.signal);
    const armed: Armed = {
      queue: optionalText("queue", passed.queue),
      above: above === undefined ? undefined : integer("above", above, 0, Number.MAX_SAFE_INTEGER),
      olderThan: olderThan === undefined ? undefined : duration("olderThan", olderThan),
      deadLetters: flag("deadLetters", passed.deadLetters),
      call,
      on: new Set(),
      seen: new Map(),
    };
    if (armed.above === undefined && armed.olderThan === undefined && !armed.deadLetters) {
      throw invalid("the alarm has no condition; pass above, olderThan or deadLetters");
    }
    if (this.#armed.size >= ALARMS_MAX) {
      throw invalid(`${ALARMS_MAX} alarms are set already, the most that may; cancel some`);
    }
    for (const queue of this.#queues()) armed.seen.set(queue.name, queue.deadLettered);
    const end = () => {
      this.#armed.delete(armed);
    };
    if (signal?.aborted === true) return { cancel: end };
    const unhear = onAbort(signal, end);
    this.#armed.add(armed);
    this.#arm();
    return {
      cancel: () => {
        unhear();
        end();
      },
    };
  }

  /** Looks at what the alarms watch. */
  look(): void {
    if (this.#armed.size === 0 || !this.#core.open) return;
    const queues = this.#queues();
    for (const armed of [...this.#armed]) for (const alert of judge(armed, queues)) this.#call(armed, alert);
  }

  #arm(): void {
    const { clock, timers } = this.#core;
    // A clock that is moved by hand looks whenever it is moved.
    if (!clock.runs) return;
    this.#timer ??= timers.set(
      clock.now() + LOOK_MS,
      () => {
        this.#timer = undefined;
        this.look();
        if (this.#armed.size > 0) this.#arm();
      },
      false,
    );
  }

  #queues(): QueueStats[] {
    const core = this.#core;
    return core.ask((native) => native.overview(core.clock.now(), false), readStats<QueueStats[]>);
  }

  async #call(armed: Armed, alert: Alert): Promise<void> {
    try {
      await armed.call(alert);
    } catch (error) {
      const name = JSON.stringify(alert.queue);
      this.#core.log.error(`the callback of an alarm on queue ${name} (${alert.condition}) failed`, error);
    }
  }
}

/** What became true since the last look. */
function judge(armed: Armed, queues: readonly QueueStats[]): Alert[] {
  const on = new Set<string>();
  const seen = new Map<string, number>();
  const fired: Alert[] = [];
  for (const stats of queues) {
    if (armed.queue !== undefined && armed.queue !== stats.name) continue;
    const check = (condition: AlarmCondition, value: number, limit: number | undefined) => {
      if (limit === undefined || value <= limit) return;
      const name = `${condition} ${stats.name}`;
      on.add(name);
      if (!armed.on.has(name)) fired.push({ queue: stats.name, condition, value, limit });
    };
    check("above", stats.size, armed.above);
    check("olderThan", stats.oldestAge, armed.olderThan);
    check("deadLetters", stats.deadLettered - (armed.seen.get(stats.name) ?? 0), armed.deadLetters ? 0 : undefined);
    seen.set(stats.name, stats.deadLettered);
  }
  armed.on = on;
  armed.seen = seen;
  return fired;
}

// The entry for Node.

import type { Broker, OpenOptions } from "./api.js";
import { memory } from "./memory.node.js";
import { opener } from "./open.js";

export * from "./index.js";

/**
 * Opens a broker.
 *
 * ```ts
 * import { open } from "ferrymq";
 * const broker = await open();
 * const orders = await broker.queue("orders");
 * await orders.produce({ id: 1 });
 * const delivery = await orders.consume();
 * console.log(delivery?.json());
 * await delivery?.ack();
 * await broker.close();
 * ```
 */
export const open: (options?: OpenOptions) => Promise<Broker> = opener(memory, () => import("./path.node.js"));

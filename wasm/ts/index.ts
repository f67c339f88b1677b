// What both entries offer besides `open`. Importing this touches nothing that a server lacks.

export type * from "./api.js";
export { type ErrorCode, FerryError } from "./errors.js";
export { outgoing } from "./outgoing.js";

// `await using`, also where the runtime does not know it yet.

/** Runtimes without explicit resource management look the method up under this name, as TypeScript's helpers do. */
export const ASYNC_DISPOSE: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

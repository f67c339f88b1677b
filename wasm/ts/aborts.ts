// Who is to hear when a signal is aborted.

const HEARERS = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `hear` once when the signal is aborted, until the returned function is called. However many wait with one signal, it gets one listener: one for the whole page or
 * service is what signals are for, and Node warns of more than ten.
 */
export function onAbort(signal: AbortSignal | undefined, hear: () => void): () => void {
  if (signal === undefined) return () => undefined;
  const hearers = HEARERS.get(signal) ?? listen(signal);
  hearers.add(hear);
  return () => {
    hearers.delete(hear);
  };
}

function listen(signal: AbortSignal): Set<() => void> {
  const hearers = new Set<() => void>();
  HEARERS.set(signal, hearers);
  const heard = () => {
    HEARERS.delete(signal);
    for (const hear of [...hearers]) hear();
  };
  signal.addEventListener("abort", heard, { once: true });
  return hearers;
}

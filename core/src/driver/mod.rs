//! The native driver. Turns one engine into a handle that any number of threads use at once.
//! Owns: the lock around the engine, the clock, the timer thread, who waits for which call, the ring of finalisers.
//! May use: engine, model, testing (the manual disk and clock). Never: decides anything about messages.
//! Invariant: no lock is held while user code runs, and nobody waits without someone who will wake him.

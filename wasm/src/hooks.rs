//! One broker: opening and closing, and how a test ends it.

use ferrymq_core::engine::{Answer, Command, Engine, Reply};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::config::time;
use crate::native::Native;
use crate::results::DONE;

#[wasm_bindgen]
impl Native {
    /// Opens the engine, anew after a close, a kill or a failed sync; over a disk with what that kept. `epoch` tells this opening's tokens from those of every other. Over a disk that JavaScript
    /// works on it is pending, until `opened` says otherwise.
    pub fn reopen(&mut self, now: f64, epoch: u32) -> u32 {
        self.forget_results();
        self.config.epoch = epoch;
        #[cfg(feature = "store")]
        if self.disk.is_some() {
            return self.open_store(now);
        }
        self.engine = Some(Engine::memory(self.config));
        self.open_session(now)
    }

    /// Gives back what this broker holds, and ends.
    pub fn close(&mut self, now: f64) {
        self.close_session(now);
        self.kill(false);
    }

    /// Gives back what this broker holds.
    pub fn close_session(&mut self, now: f64) {
        let session = self.session;
        self.ask(now, Command::CloseSession { session });
    }

    /// The process is gone, and with `power` everything that no sync covered.
    pub fn kill(&mut self, power: bool) {
        self.engine = None;
        self.forget_results();
        #[cfg(feature = "store")]
        if let Some(disk) = &mut self.disk {
            disk.kill(power);
        }
        #[cfg(not(feature = "store"))]
        let _ = power;
        self.pump(time(0.0));
    }
}

impl Native {
    pub(crate) fn open_session(&mut self, now: f64) -> u32 {
        let answer = self
            .engine
            .as_mut()
            .map(|engine| engine.handle(time(now), Command::OpenSession));
        self.pump(time(now));
        match answer {
            Some(Answer::Done(Ok(Reply::Session(session)))) => {
                self.session = session;
                DONE
            }
            Some(Answer::Done(Err(error))) => self.results.store(Err(error)),
            _ => unreachable!("a session opens at once"),
        }
    }
}

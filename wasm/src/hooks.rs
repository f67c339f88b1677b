//! One broker: opening and closing, and what a test does to it.

use ferrymq_core::engine::{Answer, Command, Engine, Reply};
use ferrymq_core::model::{Error, ErrorKind, Time};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::config::time;
use crate::native::Native;
use crate::results::DONE;

#[wasm_bindgen]
impl Native {
    /// Opens the engine, anew after a close, a kill or a failed sync; over the manual disk with what that kept. `epoch` tells this opening's
    /// tokens from those of every other.
    pub fn reopen(&mut self, now: f64, epoch: u32) -> u32 {
        self.forget_results();
        self.config.epoch = epoch;
        let engine = match self.disk {
            None => Engine::memory(self.config),
            Some(_) => Engine::open(self.config, time(now)),
        };
        self.engine = Some(engine);
        self.pump(time(now));
        // Opening writes; on the manual disk nobody else completes those syncs.
        self.complete(time(now), true);
        if !self.engine.as_ref().is_some_and(Engine::is_open) {
            return self.results.store(Err(Error::new(
                ErrorKind::StoreFailed,
                "the store did not open; restore it from a backup",
            )));
        }
        self.open_session(now)
    }

    /// Gives back what this broker holds, and ends.
    pub fn close(&mut self, now: f64) {
        let session = self.session;
        self.ask(now, Command::CloseSession { session });
        self.engine = None;
        self.pump(time(now));
    }

    /// Asks for a sync of all that is written, and completes, or fails, every sync that is outstanding.
    pub fn sync(&mut self, now: f64, well: bool) {
        if let Some(engine) = &mut self.engine {
            engine.request_sync(time(now));
        }
        self.pump(time(now));
        self.complete(time(now), well);
    }

    /// The process is gone, and with `power` everything that no sync covered.
    pub fn kill(&mut self, power: bool) {
        self.engine = None;
        self.forget_results();
        if let Some(disk) = &mut self.disk {
            if power {
                disk.power_cut();
            } else {
                disk.kill();
            }
        }
        self.pump(time(0.0));
    }
}

impl Native {
    fn open_session(&mut self, now: f64) -> u32 {
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

    pub(crate) fn complete(&mut self, now: Time, well: bool) {
        // A sync that ends lets the next one begin.
        loop {
            let outcomes = self
                .disk
                .as_mut()
                .map(|disk| disk.complete_syncs(well))
                .unwrap_or_default();
            if outcomes.is_empty() {
                return;
            }
            for (ticket, outcome) in outcomes {
                if let Some(engine) = &mut self.engine {
                    engine.io_done(now, ticket, outcome);
                }
            }
            self.pump(now);
        }
    }
}

//! The messages that are out: one lease for each.

use crate::model::collections::sorted;
use crate::model::{DeliveryNo, Error, ErrorKind, MessageId, Result, SessionId, Time, Token};

/// One message in one consumer's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which handing over.
    pub delivery: DeliveryNo,
    /// Which message.
    pub message: MessageId,
    /// Its slot in the table.
    pub slot: u32,
    /// Index of its queue.
    pub queue: u32,
    /// Who holds it.
    pub session: SessionId,
    /// The push consumer's place whose credit it takes; [`Lease::PULLED`]: none.
    pub consumer: u32,
    /// When it began.
    pub began: Time,
    /// When it ends.
    pub deadline: Time,
    /// When it would end it is renewed.
    pub kept: bool,
}

impl Lease {
    /// The consumer of a message that was asked for, not pushed.
    pub const PULLED: u32 = u32::MAX;
}

/// What an ack needs of the lease that it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The message's slot in the table.
    pub slot: u32,
    /// Index of its queue.
    pub queue: u32,
    /// The push consumer that has credit again, as [`Lease::consumer`].
    pub consumer: u32,
}

/// The table of leases. A place is used again; the delivery number tells which lease is meant.
#[derive(Debug)]
pub struct InFlight {
    epoch: u32,
    last: DeliveryNo,
    places: Vec<Option<Lease>>,
    vacant: Vec<u32>,
}

impl InFlight {
    /// An empty table. Tokens of another epoch open nothing here.
    #[must_use]
    pub fn new(epoch: u32) -> InFlight {
        InFlight {
            epoch,
            last: DeliveryNo(0),
            places: Vec::new(),
            vacant: Vec::new(),
        }
    }

    /// Hands a message over: what is said of the lease, with a number of its own.
    #[inline]
    pub fn open(&mut self, mut lease: Lease) -> Token {
        self.last.0 += 1;
        lease.delivery = self.last;
        let place = match self.vacant.pop() {
            Some(place) => {
                self.places[place as usize] = Some(lease);
                place
            }
            None => {
                self.places.push(Some(lease));
                self.places.len() as u32 - 1
            }
        };
        Token {
            epoch: self.epoch,
            lease: place,
            delivery: lease.delivery,
            message: lease.message,
        }
    }

    /// The lease that a token names. Errors: `LeaseLost`.
    #[inline]
    pub fn find(&self, token: Token) -> Result<&Lease> {
        match self.places.get(token.lease as usize) {
            Some(Some(lease))
                if lease.delivery == token.delivery
                    && lease.message == token.message
                    && token.epoch == self.epoch =>
            {
                Ok(lease)
            }
            _ => Err(lost(token)),
        }
    }

    /// Ends the lease that a token names; gives what an ack needs of it. It needs no more, and to move a whole lease out costs as much as ending it.
    /// Errors: `LeaseLost`.
    #[inline]
    pub fn finish(&mut self, token: Token) -> Result<Finished> {
        let lease = self.find(token)?;
        let finished = Finished {
            slot: lease.slot,
            queue: lease.queue,
            consumer: lease.consumer,
        };
        self.vacate(token.lease);
        Ok(finished)
    }

    /// Ends the lease that a token names. Errors: `LeaseLost`.
    pub fn close(&mut self, token: Token) -> Result<Lease> {
        let lease = *self.find(token)?;
        self.vacate(token.lease);
        Ok(lease)
    }

    /// Ends a lease by place and number; nothing if it has ended before.
    pub fn close_place(&mut self, place: u32, delivery: DeliveryNo) -> Option<Lease> {
        let lease = (*self.places.get(place as usize)?)?;
        if lease.delivery != delivery {
            return None;
        }
        self.vacate(place);
        Some(lease)
    }

    fn vacate(&mut self, place: u32) {
        self.places[place as usize] = None;
        self.vacant.push(place);
    }

    /// From now on a lease is renewed when it would end, or is not any more. Errors: `LeaseLost`.
    #[inline]
    pub fn keep(&mut self, token: Token, kept: bool) -> Result<()> {
        self.find(token)?;
        if let Some(Some(lease)) = self.places.get_mut(token.lease as usize) {
            lease.kept = kept;
        }
        Ok(())
    }

    /// Lets a lease that is kept go on until `deadline` says; false if it is not kept.
    pub fn renew(&mut self, place: u32, deadline: impl FnOnce(&Lease) -> Time) -> Option<Time> {
        let lease = self.places.get_mut(place as usize)?.as_mut()?;
        let until = deadline(lease);
        if !lease.kept || until <= lease.deadline {
            return None;
        }
        lease.deadline = until;
        Some(until)
    }

    /// Moves the end of a lease. Errors: `LeaseLost`.
    pub fn extend(&mut self, token: Token, deadline: Time) -> Result<()> {
        self.find(token)?;
        if let Some(Some(lease)) = self.places.get_mut(token.lease as usize) {
            lease.deadline = deadline;
        }
        Ok(())
    }

    /// Whether a lease still ends at the time that a schedule noted.
    #[must_use]
    #[inline]
    pub fn ends(&self, place: u32, delivery: u64, at: Time) -> bool {
        matches!(self.places.get(place as usize), Some(Some(lease))
            if lease.delivery.0 == delivery && lease.deadline == at)
    }

    /// The leases that `which` chooses, as tokens, in the order in which they were opened.
    #[must_use]
    pub fn tokens(&self, which: impl Fn(&Lease) -> bool) -> Vec<Token> {
        let places = self.places.iter().enumerate();
        let chosen = places.filter_map(|(place, lease)| {
            let lease = lease.as_ref().filter(|lease| which(lease))?;
            Some((lease.delivery, place as u32, lease.message))
        });
        sorted(chosen.collect())
            .into_iter()
            .map(|(delivery, lease, message)| Token {
                epoch: self.epoch,
                lease,
                delivery,
                message,
            })
            .collect()
    }
}

#[cold]
fn lost(token: Token) -> Error {
    Error::new(
        ErrorKind::LeaseLost,
        format!(
            "the delivery of message {} is no longer yours: it was settled, its lease ended, or its queue is gone; drop the work, or give the queue a longer lease",
            token.message.0
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_used_again_does_not_open_for_the_old_token() {
        let mut leases = InFlight::new(1);
        let lease = |message| Lease {
            delivery: DeliveryNo(0),
            message: MessageId(message),
            slot: 0,
            queue: 0,
            session: SessionId(0),
            consumer: Lease::PULLED,
            began: Time(0),
            deadline: Time(10),
            kept: false,
        };
        let old = leases.open(lease(1));
        leases.close(old).expect("it is open");
        let new = leases.open(lease(1));
        assert_eq!(old.lease, new.lease);
        assert_eq!(
            leases.close(old).map_err(|e| e.kind()),
            Err(ErrorKind::LeaseLost)
        );
        let elsewhere = Token { epoch: 2, ..new };
        assert!(leases.find(elsewhere).is_err());
        assert!(leases.close(new).is_ok());
    }
}

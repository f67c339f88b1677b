//! What the inputs begin with: stores of the simulator's worlds, made anew each time, so that they are always of the format that the program writes.

use ferrymq_core::store::fuzzing;
use ferrymq_sim::rng::Rng;
use ferrymq_sim::workload::{Allowed, Plan};
use ferrymq_sim::world::World;

use crate::image::Image;

/// A store, as it is after some steps of a plan.
#[must_use]
pub fn store(nth: u64) -> Image {
    let allowed = Allowed {
        errors: false,
        clock: false,
        damage: false,
    };
    let plan = Plan::new(nth, allowed);
    let mut rng = Rng::new(!nth);
    let mut world = World::new(&plan, None, false);
    world.begin().expect("an empty disk opens");
    let steps = rng.below(plan.steps.len() as u64 + 1) as usize;
    for step in &plan.steps[..steps] {
        world.step(*step).expect("the simulator finds nothing");
    }
    let disk = &mut world.disk;
    Image::of(|ticket| disk.execute(ticket, &mut rng))
}

/// The bodies of all frames of such a store.
#[must_use]
pub fn bodies(nth: u64) -> Vec<Vec<u8>> {
    let store = store(nth);
    let mut bodies = vec![Vec::new()];
    for bytes in store.files.values() {
        let pieces = fuzzing::take_apart(bytes, fuzzing::segment_of(bytes));
        bodies.extend(pieces.into_iter().map(|piece| piece.body));
    }
    bodies
}

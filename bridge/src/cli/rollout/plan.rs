//! What the flags, or a file, say of a rollout.

use super::file;
use crate::api::{ChangedRollout, MappedImage, NewRollout, RolloutView};
use crate::cli::args::{EditArgs, PaceArgs, PlanArgs, Setting, one_target};
use crate::cli::client::Client;
use crate::cli::exit::Failure;
use rollcall_engine::{HardwareId, ImageRef, Mechanism, RolloutName, TimeZone, Window, Windows};

fn map(images: Vec<(HardwareId, ImageRef)>) -> Vec<MappedImage> {
    let mapped = |(hardware_id, image): (HardwareId, ImageRef)| MappedImage {
        hardware_id,
        image: image.to_string(),
    };
    images.into_iter().map(mapped).collect()
}

/// The rollout to preview or create.
pub(super) fn new_rollout(
    name: Option<RolloutName>,
    plan: PlanArgs,
) -> Result<NewRollout, Failure> {
    if let Some(path) = &plan.from {
        alone(&plan.pace)?;
        return file::read(path, name);
    }
    let mechanism = mechanism(plan.pace)?;
    let target = one_target(plan.target, plan.selector);
    Ok(NewRollout {
        name: name.ok_or_else(|| Failure::usage("a rollout needs a --name"))?,
        target: target.ok_or_else(|| Failure::usage("a rollout needs --target or --selector"))?,
        images: map(plan.image),
        mechanism,
    })
}

/// What to change in a rollout.
pub(super) fn change(mut args: EditArgs, client: &Client) -> Result<ChangedRollout, Failure> {
    if let Some(path) = &args.from {
        alone(&args.pace)?;
        let new = file::read(path, args.name)?;
        return Ok(ChangedRollout {
            revision: args.revision,
            name: Some(new.name),
            target: Some(new.target),
            images: Some(new.images),
            mechanism: Some(new.mechanism),
            ..ChangedRollout::default()
        });
    }
    // Fields that the API changes one by one, of launched rollouts too; for the rest it takes a mechanism as a whole.
    let mut changed = ChangedRollout {
        revision: args.revision,
        name: args.name,
        target: one_target(args.target, args.selector),
        images: (!args.image.is_empty()).then(|| map(args.image)),
        max_in_progress: args.pace.max_in_progress.take(),
        rate: args.pace.rate.take().map(|Setting(rate)| rate),
        deadline: args.pace.deadline.take(),
        force_downgrade: args.pace.force_downgrade.take(),
        ..ChangedRollout::default()
    };
    if !args.pace.is_empty() {
        let rollout: RolloutView = client.get(&format!("/rollouts/{}", args.id))?;
        let mut mechanism = rollout.mechanism;
        args.pace.apply(&mut mechanism)?;
        check(&mechanism)?;
        // What was read must still be what is changed.
        changed.revision = args.revision.or(Some(rollout.revision));
        changed.mechanism = Some(mechanism);
    }
    Ok(changed)
}

/// Which of the two would hold is nothing that anybody should have to know.
fn alone(pace: &PaceArgs) -> Result<(), Failure> {
    if pace.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(
        "--from says all of a rollout; beside it only --name is taken: write the rest into the file",
    ))
}

/// What the flags say, the defaults for the rest.
pub(in crate::cli) fn mechanism(pace: PaceArgs) -> Result<Mechanism, Failure> {
    let mut mechanism = Mechanism::default();
    pace.apply(&mut mechanism)?;
    check(&mechanism)?;
    Ok(mechanism)
}

fn check(mechanism: &Mechanism) -> Result<(), Failure> {
    mechanism
        .check()
        .map_err(|refusal| Failure::usage(refusal.to_string()))
}

impl PaceArgs {
    /// No flag is given, or none is left.
    fn is_empty(&self) -> bool {
        let Self {
            max_in_progress: None,
            rate: None,
            max_failures: None,
            retry,
            offline: None,
            phase,
            start: None,
            end: None,
            deadline: None,
            dynamic: None,
            window,
            zone: None,
            force_downgrade: None,
        } = self
        else {
            return false;
        };
        retry.is_empty() && phase.is_empty() && window.is_empty()
    }

    /// Changes what is given.
    fn apply(self, mechanism: &mut Mechanism) -> Result<(), Failure> {
        fn set<T>(to: &mut T, given: Option<T>) {
            if let Some(given) = given {
                *to = given;
            }
        }
        fn list<T>(to: &mut Vec<T>, given: Vec<Setting<T>>) {
            if !given.is_empty() {
                *to = given.into_iter().filter_map(|Setting(one)| one).collect();
            }
        }
        set(&mut mechanism.max_in_progress, self.max_in_progress);
        set(&mut mechanism.rate, self.rate.map(|rate| rate.0));
        set(
            &mut mechanism.max_failure_percentage,
            self.max_failures.map(|share| share.0),
        );
        list(&mut mechanism.retries, self.retry);
        set(&mut mechanism.offline, self.offline);
        list(&mut mechanism.phases, self.phase);
        set(&mut mechanism.schedule.start, self.start.map(|at| at.0));
        set(&mut mechanism.schedule.end, self.end.map(|at| at.0));
        set(&mut mechanism.deadline, self.deadline);
        set(&mut mechanism.dynamic, self.dynamic);
        set(&mut mechanism.force_downgrade, self.force_downgrade);
        windows(&mut mechanism.windows, self.window, self.zone)
    }
}

fn windows(
    windows: &mut Option<Windows>,
    given: Vec<Setting<Window>>,
    zone: Option<TimeZone>,
) -> Result<(), Failure> {
    if !given.is_empty() {
        let before = windows.take();
        let given: Vec<_> = given.into_iter().filter_map(|Setting(one)| one).collect();
        let zone = before.as_ref().map(|before| before.zone.clone());
        *windows = (!given.is_empty()).then(|| Windows {
            windows: given,
            zone: zone.unwrap_or_default(),
            zone_label: before.map_or_else(|| "timezone".to_owned(), |before| before.zone_label),
        });
    }
    match (windows, zone) {
        (Some(windows), Some(zone)) => windows.zone = zone,
        (None, Some(_)) => return Err(Failure::usage("--zone says nothing without a --window")),
        (_, None) => {}
    }
    Ok(())
}

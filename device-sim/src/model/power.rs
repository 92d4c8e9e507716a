//! Power and link: starting, restarting, connecting, going away.

use rand::RngExt;

use super::{Link, Output, Protocol, Robot};
use crate::model::timer::Timer;

/// First wait before the next attempt to connect, in milliseconds; doubles with each failure.
const BACKOFF_FIRST: u64 = 1_000;
/// How long a supervisor takes to start a process again, in milliseconds.
const SUPERVISOR: u64 = 1_000;
/// Doublings, so that the longest wait is about a minute.
const BACKOFF_DOUBLINGS: u32 = 6;

impl Robot {
    /// Starts the clocks of everything unforeseen.
    pub(super) fn arm_mishaps(&mut self) {
        let profile = self.profile.clone();
        if let Some(every) = &profile.link.offline_every {
            let delay = every.draw(&mut self.rng);
            self.after(Timer::GoOffline, delay);
        }
        if let Some(every) = &profile.power.loss_every {
            let delay = every.draw(&mut self.rng);
            self.after(Timer::PowerLoss, delay);
        }
    }

    pub(super) fn connect(&mut self) {
        if self.link != Link::Down || !self.powered {
            return;
        }
        self.link = Link::Connecting;
        let clean_session = match self.protocol {
            Protocol::Native => true,
            Protocol::Edgehog => !self.edgehog.connected_before,
        };
        self.outputs.push_back(Output::Connect { clean_session });
    }

    pub(super) fn connected(&mut self, session_present: bool) {
        if self.link != Link::Connecting {
            return;
        }
        self.link = Link::Up;
        self.connect_failures = 0;
        match self.protocol {
            Protocol::Native => self.greet_natively(),
            Protocol::Edgehog => self.greet_as_edgehog(session_present),
        }
    }

    /// [`Input::Disconnected`]: tries again after a growing, jittered wait.
    pub(super) fn disconnected(&mut self) {
        if self.link == Link::Down {
            return;
        }
        self.link_lost();
        self.try_again();
    }

    /// Hangs up on a server that did what it must not, and comes back as after any other loss.
    pub(super) fn break_connection(&mut self) {
        self.hang_up(false);
        self.try_again();
    }

    fn try_again(&mut self) {
        let wait = match self.protocol {
            Protocol::Native => {
                let wait = BACKOFF_FIRST << self.connect_failures.min(BACKOFF_DOUBLINGS);
                self.connect_failures += 1;
                self.rng.random_range(wait / 2..=wait + wait / 2)
            }
            Protocol::Edgehog => self.edgehog_wait(),
        };
        self.after(Timer::Connect, wait);
    }

    fn link_lost(&mut self) {
        self.link = Link::Down;
        self.native.link_lost();
        self.edgehog.link_lost();
        self.timers.stop(Timer::Release);
    }

    fn hang_up(&mut self, graceful: bool) {
        if self.link != Link::Down {
            self.outputs.push_back(Output::Disconnect { graceful });
            self.link_lost();
        }
    }

    pub(super) fn go_offline(&mut self) {
        self.hang_up(false);
        let profile = self.profile.clone();
        let away = profile.link.offline_for.draw(&mut self.rng);
        self.after(Timer::Connect, away);
        if let Some(every) = &profile.link.offline_every {
            let next = every.draw(&mut self.rng).saturating_add(away);
            self.after(Timer::GoOffline, next);
        }
    }

    /// The robot goes down, to start again after its reboot time. Gracefully for an update, without
    /// warning otherwise.
    pub(super) fn power_down(&mut self, graceful: bool) {
        let profile = self.profile.clone();
        let reboot = profile.timing.reboot.draw(&mut self.rng);
        self.stop(graceful, reboot);
    }

    /// The runtime ends, and its supervisor starts it again; the machine runs on.
    pub(super) fn process_exits(&mut self) {
        self.edgehog.exited = true;
        self.stop(false, SUPERVISOR);
    }

    fn stop(&mut self, graceful: bool, until_start: u64) {
        self.abandon_fetch();
        self.hang_up(graceful);
        self.powered = false;
        self.timers.stop_all();
        self.after(Timer::Started, until_start);
    }

    /// The robot's software has started.
    pub(super) fn started(&mut self) {
        self.powered = true;
        self.connect_failures = 0;
        self.native.restarted();
        if self.protocol == Protocol::Edgehog {
            self.edgehog_starts();
        }
        self.arm_mishaps();
        self.resume();
        self.edgehog.exited = false;
        self.after(Timer::Connect, 0);
    }
}

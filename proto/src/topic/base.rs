//! The first two levels of every topic, and the topics built on them.

use std::fmt;

use super::TopicError;
use crate::ident;

/// Realm and robot: the first two levels of a topic, the client id and the user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Base<'a> {
    /// The realm.
    pub realm: &'a str,
    /// The robot id.
    pub robot: &'a str,
}

impl fmt::Display for Base<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.realm, self.robot)
    }
}

impl<'a> Base<'a> {
    /// Reads `<realm>/<robot>`, as in a client id, a user name or a certificate's common name.
    ///
    /// # Errors
    /// The text has not exactly two levels, or one is not of its grammar.
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        match Self::split(text)? {
            (base, None) => Ok(base),
            (_, Some(_)) => Err(TopicError::BadBase),
        }
    }

    /// The base of a topic, and what follows the slash after it.
    pub(super) fn split(topic: &'a str) -> Result<(Self, Option<&'a str>), TopicError> {
        let (realm, rest) = topic.split_once('/').ok_or(TopicError::BadBase)?;
        let (robot, rest) = match rest.split_once('/') {
            None => (rest, None),
            Some((robot, rest)) => (robot, Some(rest)),
        };
        if !ident::is_realm(realm) || !ident::is_robot_id(robot) {
            return Err(TopicError::BadBase);
        }
        Ok((Self { realm, robot }, rest))
    }

    /// Whether this robot may subscribe to a topic filter: anything below its base, whose own two
    /// levels are written out, without wildcards.
    #[must_use]
    pub fn may_subscribe(&self, filter: &str) -> bool {
        Base::split(filter).is_ok_and(|(base, rest)| base == *self && rest.is_some())
    }

    fn below(&self, rest: &str) -> String {
        format!("{self}/{rest}")
    }

    fn of_ecu(&self, interface: &str, ecu: &str) -> String {
        format!("{self}/{interface}/{ecu}")
    }

    /// Up: `rollcall.v1.Manifest`.
    #[must_use]
    pub fn manifest(&self) -> String {
        self.below("rollcall.v1.Manifest")
    }

    /// Up: `rollcall.v1.BaseImage/<ecu>`.
    #[must_use]
    pub fn base_image(&self, ecu: &str) -> String {
        self.of_ecu("rollcall.v1.BaseImage", ecu)
    }

    /// Up: `rollcall.v1.OTAEvent/<ecu>`.
    #[must_use]
    pub fn ota_event(&self, ecu: &str) -> String {
        self.of_ecu("rollcall.v1.OTAEvent", ecu)
    }

    /// Up: `rollcall.v1.State`.
    #[must_use]
    pub fn state(&self) -> String {
        self.below("rollcall.v1.State")
    }

    /// Down: `rollcall.v1.OTARequest/<ecu>`.
    #[must_use]
    pub fn ota_request(&self, ecu: &str) -> String {
        self.of_ecu("rollcall.v1.OTARequest", ecu)
    }

    /// Down, to subscribe: the requests for every ECU.
    #[must_use]
    pub fn ota_request_filter(&self) -> String {
        self.below("rollcall.v1.OTARequest/#")
    }

    /// Down: `rollcall.v1.Ack`.
    #[must_use]
    pub fn ack(&self) -> String {
        self.below("rollcall.v1.Ack")
    }

    /// Up: a device's introspection, the base itself.
    #[must_use]
    pub fn introspection(&self) -> String {
        self.to_string()
    }

    /// Up: `control/emptyCache`.
    #[must_use]
    pub fn empty_cache(&self) -> String {
        self.below("control/emptyCache")
    }

    /// Up: `control/producer/properties`.
    #[must_use]
    pub fn producer_properties(&self) -> String {
        self.below("control/producer/properties")
    }

    /// Down: `control/consumer/properties`.
    #[must_use]
    pub fn consumer_properties(&self) -> String {
        self.below("control/consumer/properties")
    }

    /// Up: Edgehog's `OTAEvent`.
    #[must_use]
    pub fn edgehog_ota_event(&self) -> String {
        self.below("io.edgehog.devicemanager.OTAEvent/event")
    }

    /// Down: Edgehog's `OTARequest`.
    #[must_use]
    pub fn edgehog_ota_request(&self) -> String {
        self.below("io.edgehog.devicemanager.OTARequest/request")
    }

    /// Down, to subscribe: Edgehog's `OTARequest`.
    #[must_use]
    pub fn edgehog_ota_request_filter(&self) -> String {
        self.below("io.edgehog.devicemanager.OTARequest/#")
    }

    /// Up: one property of Edgehog's `BaseImage`, such as `version`.
    #[must_use]
    pub fn edgehog_base_image(&self, property: &str) -> String {
        self.of_ecu("io.edgehog.devicemanager.BaseImage", property)
    }

    /// Either way: a property named as in purge lists, interface and path joined by `/`.
    #[must_use]
    pub fn property(&self, property: &str) -> String {
        self.below(property)
    }

    /// Either way: a path of any Astarte interface.
    #[must_use]
    pub fn interface(&self, interface: &str, path: &str) -> String {
        self.of_ecu(interface, path)
    }
}

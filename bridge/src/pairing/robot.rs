//! Who asks: the robot in the path, with the secret that it shows.

use super::Context;
use super::answer::Refused;
use crate::api::request::bearer;
use crate::api::tokens::{digest, same};
use crate::registry::Entry;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use rollcall_engine::RobotId;

/// What a shown secret is compared with when there is no such robot; no secret has this hash.
const NOBODY: [u8; 32] = [0; 32];

/// A robot that has shown its secret. It may be inhibited.
pub(super) struct Robot {
    pub(super) id: RobotId,
    pub(super) entry: Entry,
    /// What it showed, as it is stored.
    pub(super) secret: [u8; 32],
}

impl Robot {
    /// `<realm>/<robot>`
    pub(super) fn name(&self, context: &Context) -> String {
        format!("{}/{}", context.realm, self.id)
    }
}

impl FromRequestParts<Context> for Robot {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Refused> {
        let path = Path::<(String, String)>::from_request_parts(parts, context).await;
        let refuse = |code, refused| {
            context.bridge.status().refuse(code);
            Err(refused)
        };
        let Some(shown) = bearer(&parts.headers) else {
            let why = "send the robot's credentials secret as `Authorization: Bearer SECRET`";
            return refuse("pairing_without_secret", Refused::unauthorized(why));
        };
        let secret = digest(shown.as_bytes());
        let known = path.ok().and_then(|Path((realm, id))| {
            let id = RobotId::new(&id)
                .ok()
                .filter(|_| *realm == *context.realm)?;
            let entry = context.registry.get(id.as_str())?;
            Some((id, entry))
        });
        let expected = known.as_ref().map_or(&NOBODY, |(_, entry)| &entry.secret);
        // Compared in any case, so that the time does not say which of the two was wrong.
        let right = same(expected, &secret);
        match known {
            Some((id, entry)) if right => Ok(Self { id, entry, secret }),
            Some(_) => {
                let why = "this is not the robot's credentials secret; `rollcall robot credentials rotate` makes another";
                refuse("pairing_wrong_secret", Refused::forbidden(why))
            }
            None => {
                let why = "no such robot is registered in this realm; add it with `rollcall robot add`, or let it \
                           register with a pairing token";
                refuse(
                    "pairing_unknown_robot",
                    Refused::new(StatusCode::NOT_FOUND, why),
                )
            }
        }
    }
}
